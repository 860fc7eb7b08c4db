//! Limits on what a stranger can send and hold.

/// Limits on what a stranger can send and hold.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// `--max-connections`: open client connections in all.
    pub connections: usize,
    /// `--max-connections-per-source`: open client connections from one address; from one /64 network with IPv6.
    pub connections_per_source: usize,
    /// `--max-request-head`: bytes of request line and fields.
    pub head_bytes: usize,
    /// `--max-request-fields`: number of request fields.
    pub head_fields: usize,
    /// `--max-requests-per-connection`: requests before a connection is closed (HTTP/1).
    pub requests_per_connection: u32,
    /// `--max-concurrent-streams`: open HTTP/2 streams of one connection.
    pub concurrent_streams: u32,
    /// `--max-body-memory`: bytes of memory for request bodies that are read whole, beyond 64 KiB for each.
    pub body_memory: u64,
    /// `--max-body-files`: bytes of files for them.
    pub body_files: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 65_536,
            connections_per_source: 16_384,
            head_bytes: 32 * 1024,
            head_fields: 100,
            requests_per_connection: 10_000,
            concurrent_streams: 128,
            body_memory: 64 << 20,
            body_files: 1 << 30,
        }
    }
}
