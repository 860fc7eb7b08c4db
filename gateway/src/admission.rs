//! How many connections may be open, in all and from one address.
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::metrics::Refusal;

/// Counts open connections against their limits. Shared by all workers; locked once per connection, never per request.
#[derive(Debug)]
pub(crate) struct Admission {
    limit: usize,
    limit_per_source: usize,
    open: AtomicUsize,
    sources: Mutex<HashMap<IpAddr, usize>>,
}

impl Admission {
    /// Limits in number of connections.
    pub(crate) fn new(limit: usize, limit_per_source: usize) -> Arc<Self> {
        Arc::new(Self { limit, limit_per_source, open: AtomicUsize::new(0), sources: Mutex::default() })
    }

    /// Admits one more connection until the permit is dropped.
    pub(crate) fn admit(self: &Arc<Self>, source: IpAddr) -> Result<Permit, Refusal> {
        let source = network(source);
        if self.open.fetch_add(1, Ordering::Relaxed) >= self.limit {
            self.open.fetch_sub(1, Ordering::Relaxed);
            return Err(Refusal::Global);
        }
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        let count = sources.entry(source).or_default();
        if *count >= self.limit_per_source {
            self.open.fetch_sub(1, Ordering::Relaxed);
            return Err(Refusal::Source);
        }
        *count += 1;
        Ok(Permit { admission: self.clone(), source })
    }
}

/// What counts as one source: an IPv4 address, or the IPv6 network of 64 bits that one subscriber gets at least.
fn network(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) & (!0 << 64)).into()),
        address @ IpAddr::V4(_) => address,
    }
}

/// One open connection.
#[derive(Debug)]
pub(crate) struct Permit {
    admission: Arc<Admission>,
    source: IpAddr,
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut sources = self.admission.sources.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = sources.get_mut(&self.source) {
            *count -= 1;
            if *count == 0 {
                sources.remove(&self.source);
            }
        }
        self.admission.open.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
    const B: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));

    #[test]
    fn each_source_has_its_limit() {
        let admission = Admission::new(10, 1);
        let permit = admission.admit(A).unwrap();
        assert_eq!(admission.admit(A).map(drop), Err(Refusal::Source));
        assert!(admission.admit(B).is_ok());
        drop(permit);
        assert!(admission.admit(A).is_ok());
    }

    #[test]
    fn all_sources_share_a_limit() {
        let admission = Admission::new(1, 10);
        let permit = admission.admit(A).unwrap();
        assert_eq!(admission.admit(B).map(drop), Err(Refusal::Global));
        drop(permit);
        assert!(admission.admit(B).is_ok());
    }

    #[test]
    fn nothing_is_kept_for_sources_that_left() {
        let admission = Admission::new(10, 10);
        drop(admission.admit(A).unwrap());
        assert_eq!(admission.open.load(Ordering::Relaxed), 0);
        assert!(admission.sources.lock().unwrap().is_empty());
    }

    #[test]
    fn an_ipv6_subscriber_is_one_source() {
        let admission = Admission::new(10, 1);
        let _permit = admission.admit("2001:db8::1".parse().unwrap()).unwrap();
        assert_eq!(admission.admit("2001:db8::2".parse().unwrap()).map(drop), Err(Refusal::Source));
        assert!(admission.admit("2001:db8:0:1::1".parse().unwrap()).is_ok());
    }

    #[test]
    fn a_mapped_address_is_the_same_source() {
        let admission = Admission::new(10, 1);
        let _permit = admission.admit(A).unwrap();
        assert_eq!(admission.admit("::ffff:10.0.0.1".parse().unwrap()).map(drop), Err(Refusal::Source));
    }
}
