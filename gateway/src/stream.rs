//! Connections that pass as bytes.
mod dial;
pub(crate) mod passthrough;
mod relay;
