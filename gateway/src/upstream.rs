//! Towards the endpoints: clusters that outlive tables, the choice of an endpoint, and what Pingora needs to connect.
mod cluster;
mod peer;
mod registry;

pub(crate) use cluster::Cluster;
pub(crate) use peer::peer;
pub(crate) use registry::Registry;
