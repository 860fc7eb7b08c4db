//! Connections that pass as bytes.
mod dial;
pub(crate) mod passthrough;
pub(crate) mod ports;
mod relay;
mod tcp;
mod udp;
