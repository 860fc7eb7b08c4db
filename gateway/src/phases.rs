//! What happens to a request, in the order in which it happens.
pub(crate) mod body;
pub(crate) mod canary;
pub(crate) mod client_auth;
pub(crate) mod compress;
pub(crate) mod detour;
pub(crate) mod log;
pub(crate) mod peer;
pub(crate) mod plan;
pub(crate) mod queue;
pub(crate) mod request;
pub(crate) mod response;
pub(crate) mod retry;
pub(crate) mod route;
pub(crate) mod sender;
pub(crate) mod upgrade;
pub(crate) mod upstream_request;
