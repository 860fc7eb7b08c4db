//! What each try of a request came to: for the access log, which names every endpoint that was asked.
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// One try at an endpoint.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempt {
    /// The endpoint.
    pub(crate) address: SocketAddr,
    /// When the gateway turned to it.
    pub(crate) began: Instant,
    /// From then to a new connection; `None` for a kept one, and when there was none.
    pub(crate) connected: Option<Duration>,
    /// From then to the head of the answer.
    pub(crate) answered: Option<Duration>,
    /// From then to the end.
    pub(crate) took: Duration,
    /// What the endpoint answered; 0 when it did not.
    pub(crate) status: u16,
    /// What a failure stands for in nginx's logs: 502 or 504; 0 when the endpoint answered.
    pub(crate) failure: u16,
    /// Bytes of the answer's body that came from the endpoint.
    pub(crate) received: u64,
}

impl Attempt {
    fn new(address: SocketAddr, began: Instant) -> Self {
        Self {
            address,
            began,
            connected: None,
            answered: None,
            took: Duration::ZERO,
            status: 0,
            failure: 0,
            received: 0,
        }
    }
}

/// All tries of a request. The first one, which is nearly always the only one, needs no allocation.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    past: Vec<Attempt>,
    now: Option<Attempt>,
}

impl Attempts {
    /// A try begins.
    pub(crate) fn begin(&mut self, address: SocketAddr, began: Instant) {
        self.past.extend(self.now.replace(Attempt::new(address, began)));
    }

    /// The try that runs, or that was the last.
    pub(crate) fn now(&mut self) -> Option<&mut Attempt> {
        self.now.as_mut()
    }

    /// The same, to look at.
    pub(crate) fn last(&self) -> Option<&Attempt> {
        self.now.as_ref()
    }

    /// When the first one began.
    pub(crate) fn began(&self) -> Option<Instant> {
        self.past.first().or(self.now.as_ref()).map(|attempt| attempt.began)
    }

    /// How many there were.
    pub(crate) fn len(&self) -> usize {
        self.past.len() + usize::from(self.now.is_some())
    }

    /// The one that runs ends.
    pub(crate) fn end(&mut self, received: u64, failure: u16) {
        if let Some(now) = &mut self.now {
            now.took = now.began.elapsed();
            now.received = received;
            if now.status == 0 {
                now.failure = failure;
            }
        }
    }

    /// All of them in order.
    pub(crate) fn take(&mut self) -> Vec<Attempt> {
        let mut all = std::mem::take(&mut self.past);
        all.extend(self.now.take());
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_are_kept_in_order() {
        let mut attempts = Attempts::default();
        for port in [1, 2, 3] {
            attempts.begin(SocketAddr::from(([10, 0, 0, 1], port)), Instant::now());
            attempts.end(u64::from(port), 502);
        }
        assert_eq!(attempts.len(), 3);
        let all = attempts.take();
        assert_eq!(all.iter().map(|one| one.address.port()).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(
            all.iter().map(|one| (one.received, one.failure)).collect::<Vec<_>>(),
            [(1, 502), (2, 502), (3, 502)]
        );
    }
}
