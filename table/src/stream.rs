//! Ports of the gateway whose connections go on as bytes.
use std::fmt;

use crate::backend::ClusterId;

/// What a port takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transport {
    /// TCP connections.
    Tcp,
    /// UDP datagrams.
    Udp,
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
        })
    }
}

/// A port whose connections go to a cluster as they are.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Stream {
    /// What it takes.
    pub transport: Transport,
    /// The port, from 1.
    pub port: u16,
    /// Where connections go.
    pub cluster: ClusterId,
    /// Clients send a PROXY protocol header first, which says who they are. Never for UDP.
    pub decode_proxy: bool,
    /// Endpoints get a PROXY protocol header first, version 1. Never for UDP.
    pub encode_proxy: bool,
}
