//! Towards the endpoints: clusters that outlive tables, the choice of an endpoint, and what Pingora needs to connect.
mod adaptive;
mod attempt;
mod budget;
mod cluster;
mod connections;
mod gate;
mod health;
mod lease;
mod own_tls;
mod peer;
mod peers;
mod registry;
mod room;
mod secure;
mod visit;

pub(crate) use attempt::{Attempt, Attempts};
pub(crate) use cluster::{Canary, Cluster};
pub(crate) use connections::Connections;
pub use health::{EndpointChange, EndpointEvent};
pub(crate) use health::{Health, Why, watch};
pub(crate) use lease::Lease;
pub(crate) use peer::{Waits, peer};
pub(crate) use peers::peers;
pub(crate) use registry::Registry;
pub(crate) use room::{Room, Want};
pub(crate) use visit::Visit;
