//! Ranges of addresses: `10.0.0.0/8`, `2001:db8::/32`, a single address.
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// A range of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// Is the address in the range? An IPv4 address mapped to IPv6 counts as IPv4.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0);
                u32::from(network) & mask == u32::from(address) & mask
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.prefix)).unwrap_or(0);
                u128::from(network) & mask == u128::from(address) & mask
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }

    /// Does it hold every address of its family?
    #[must_use]
    pub fn is_everyone(&self) -> bool {
        self.prefix == 0
    }
}

/// The message completes "the value ...".
impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "holds what is no address and no range such as 10.0.0.0/8".to_owned();
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => most,
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().ok().filter(|prefix| *prefix <= most).ok_or_else(wrong)?
            }
            Some(_) => return Err(wrong()),
        };
        Ok(Self { address, prefix })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// Several ranges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks(Box<[Network]>);

impl Networks {
    /// Reads a list with commas; empty items are skipped.
    ///
    /// # Errors
    /// When an item is no range; completes "the value ...".
    pub fn parse(text: &str) -> Result<Self, String> {
        text.split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
            .map(str::parse)
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Is the address in one of them?
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }

    /// The ranges, in the order they were written.
    pub fn iter(&self) -> impl Iterator<Item = &Network> {
        self.0.iter()
    }
}

impl FromIterator<Network> for Networks {
    fn from_iter<I: IntoIterator<Item = Network>>(networks: I) -> Self {
        Self(networks.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(networks: &str, address: &str) -> bool {
        Networks::parse(networks).unwrap().contains(address.parse().unwrap())
    }

    #[test]
    fn a_range_holds_the_addresses_of_its_prefix() {
        assert!(contains("10.0.0.0/8, 192.0.2.1", "10.255.0.1"));
        assert!(contains("10.0.0.0/8, 192.0.2.1", "192.0.2.1"));
        assert!(!contains("10.0.0.0/8, 192.0.2.1", "192.0.2.2"));
        assert!(contains("2001:db8::/32", "2001:db8:1::1"));
    }

    #[test]
    fn families_do_not_mix_but_mapped_addresses_are_ipv4() {
        assert!(!contains("0.0.0.0/0", "::1"));
        assert!(contains("0.0.0.0/0", "::ffff:192.0.2.1"));
        assert!(!contains("::/0", "192.0.2.1"));
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for text in ["10.0.0.0/33", "10.0.0/8", "host", "10.0.0.0/", "10.0.0.0/+8", "::1/129"] {
            assert!(Networks::parse(text).is_err(), "{text}");
        }
    }
}
