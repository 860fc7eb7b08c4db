//! A hash that is the same in every process: replicas of the gateway must agree on where a key belongs.
//!
//! Not safe against chosen keys, and needs not be: who floods one endpoint by choosing keys could as well repeat one.
use std::net::{IpAddr, SocketAddr};

use table::ClusterId;

const ODD: u64 = 0x9e37_79b9_7f4a_7c15;

/// The hash of some bytes.
#[must_use]
pub fn bytes(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut state = ODD ^ bytes.len() as u64;
    for word in words {
        state = mix(state ^ u64::from_le_bytes(*word));
    }
    let mut last = [0; 8];
    for (to, from) in last.iter_mut().zip(rest) {
        *to = *from;
    }
    mix(state ^ u64::from_le_bytes(last))
}

/// The hash of an address; an IPv4 address counts the same when written as an IPv6 one.
#[must_use]
pub fn address(address: IpAddr) -> u64 {
    match address.to_canonical() {
        IpAddr::V4(v4) => bytes(&v4.octets()),
        IpAddr::V6(v6) => bytes(&v6.octets()),
    }
}

/// The identity of an endpoint.
#[must_use]
pub fn endpoint(endpoint: SocketAddr) -> u64 {
    mix(address(endpoint.ip()) ^ u64::from(endpoint.port()))
}

/// The identity of a cluster.
#[must_use]
pub fn cluster(cluster: &ClusterId) -> u64 {
    bytes(cluster.to_string().as_bytes())
}

/// Spreads every bit of a number over all (the finaliser of the SplitMix64 generator).
#[must_use]
pub const fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(ODD);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// A number below `end`, from one that is uniformly distributed; 0 when `end` is 0.
#[must_use]
pub const fn below(random: u32, end: usize) -> usize {
    ((random as u64 * end as u64) >> 32) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn close_keys_are_far_apart() {
        let hashes: BTreeSet<_> = (0..10_000u32).map(|key| bytes(key.to_string().as_bytes()) >> 44).collect();
        // Of a million values, 10,000 random ones meet about 48 times.
        assert!(hashes.len() > 9_900, "{}", hashes.len());
    }

    #[test]
    fn length_and_every_byte_count() {
        let texts: [&[u8]; 6] = [b"", b"\0", b"\0\0", b"12345678", b"123456789", b"123456780"];
        assert_eq!(texts.iter().map(|text| bytes(text)).collect::<BTreeSet<_>>().len(), texts.len());
    }

    #[test]
    fn replicas_agree() {
        assert_eq!(bytes(b"session"), 7_321_651_196_166_325_268);
    }

    #[test]
    fn a_mapped_address_is_the_same_client() {
        assert_eq!(address("::ffff:10.0.0.1".parse().unwrap()), address("10.0.0.1".parse().unwrap()));
    }

    #[test]
    fn numbers_stay_below_the_end() {
        assert_eq!((below(0, 3), below(u32::MAX, 3), below(7, 0)), (0, 2, 0));
    }
}
