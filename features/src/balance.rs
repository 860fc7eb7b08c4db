//! Which endpoint of a cluster gets a request: what a rule can ask for.

/// How an endpoint is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Balance {
    /// In turn, by weight.
    #[default]
    RoundRobin,
    /// Of two random endpoints the one with fewer requests in flight.
    LeastRequests,
    /// Of two random endpoints the one with the lower product of latency (a moving average that decays within 10 s and
    /// follows a rise at once) and requests in flight.
    PeakEwma,
    /// At random.
    Random,
    /// By the request's key ([`crate::Edits::key`]): an endpoint that comes or goes moves only the keys that it takes or
    /// leaves.
    Hash {
        /// The most requests in flight that an endpoint may have, in percent of its fair share, before the next one
        /// takes over. At least 101. `None`: however many.
        bound: Option<u16>,
        /// A key belongs to so many endpoints, of which a random one is taken. At least 1.
        subset: u16,
    },
    /// By session: the request's key is a hash of the session, or names its endpoint when sessions persist.
    Sticky {
        /// A session stays at its endpoint also when endpoints are added; otherwise some move so that the new ones get
        /// their share.
        persistent: bool,
    },
}
