//! Which endpoint gets a request: algorithms on shared counters and immutable lists.
//!
//! Nothing here knows a clock, a socket or a thread. Time comes as milliseconds since an epoch of the caller's, chance as
//! a number; a choice takes no lock and allocates nothing.
mod choice;
mod endpoint;
mod gradient;
mod group;
mod ring;
mod why;

pub use choice::{Choice, Member, Members};
pub use endpoint::{Endpoint, SLOWEST};
pub use gradient::{Bounds, Gradient, Sample};
pub use group::Group;
pub use ring::Ring;
pub use why::Outcome;

pub use features::hash;

use std::net::SocketAddr;

/// What a choice depends on beside the endpoints.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// Milliseconds since the epoch.
    pub now: u64,
    /// Uniformly distributed; a new number for each choice.
    pub random: u64,
    /// Endpoints that must not be chosen: those that this request has tried.
    pub tried: &'a [SocketAddr],
    /// What hashing goes by; without a key endpoints take turns. For a session that is bound to an endpoint: its identity.
    pub key: Option<u64>,
}
