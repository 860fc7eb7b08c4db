//! Sets of networks: one search for each question, however many networks there are.
use std::net::IpAddr;

use ipnet::IpNet;

/// A set of IP networks as ranges of addresses, sorted and without overlaps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks {
    v4: Box<[(u32, u32)]>,
    v6: Box<[(u128, u128)]>,
}

impl Networks {
    /// Reads addresses and networks in CIDR notation between commas.
    ///
    /// # Errors
    /// Names the first that is neither; completes "the value ...".
    pub fn parse(text: &str) -> Result<Self, String> {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
            match network(item)
                .ok_or_else(|| format!("has {item:.50?}, which is neither an IP address nor a network"))?
            {
                IpNet::V4(net) => v4.push((u32::from(net.network()), u32::from(net.broadcast()))),
                IpNet::V6(net) => v6.push((u128::from(net.network()), u128::from(net.broadcast()))),
            }
        }
        if v4.is_empty() && v6.is_empty() {
            return Err("names no address".to_owned());
        }
        Ok(Self { v4: merge(v4), v6: merge(v6) })
    }

    /// Is an address in one of the networks? An IPv4 address in IPv6 form is an IPv4 address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(address) => within(&self.v4, u32::from(address)),
            IpAddr::V6(address) => within(&self.v6, u128::from(address)),
        }
    }

    /// Does it hold every address of a family?
    #[must_use]
    pub fn holds_a_family(&self) -> bool {
        matches!(*self.v4, [(0, u32::MAX)]) || matches!(*self.v6, [(0, u128::MAX)])
    }
}

/// A network; one of IPv4 addresses in IPv6 form is one of IPv4 addresses, as such addresses are.
fn network(text: &str) -> Option<IpNet> {
    let net = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).ok()?;
    match net {
        IpNet::V6(mapped) if mapped.prefix_len() >= 96 => match mapped.addr().to_ipv4_mapped() {
            Some(address) => IpNet::new(address.into(), mapped.prefix_len() - 96).ok(),
            None => Some(net),
        },
        IpNet::V4(_) | IpNet::V6(_) => Some(net),
    }
}

fn merge<T: Copy + Ord>(mut ranges: Vec<(T, T)>) -> Box<[(T, T)]> {
    ranges.sort_unstable();
    let mut merged: Vec<(T, T)> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match merged.last_mut() {
            Some(before) if first <= before.1 => before.1 = before.1.max(last),
            _ => merged.push((first, last)),
        }
    }
    merged.into()
}

fn within<T: Copy + Ord>(ranges: &[(T, T)], address: T) -> bool {
    let after = ranges.partition_point(|(first, _)| *first <= address);
    after.checked_sub(1).and_then(|index| ranges.get(index)).is_some_and(|(_, last)| address <= *last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(list: &str, address: &str) -> bool {
        Networks::parse(list).unwrap().contains(address.parse().unwrap())
    }

    #[test]
    fn addresses_and_networks_of_both_families() {
        let list = "10.0.0.0/8, 192.0.2.7,2001:db8::/32 , 10.1.0.0/16";
        for (address, want) in [
            ("10.0.0.0", true),
            ("10.255.255.255", true),
            ("11.0.0.0", false),
            ("9.255.255.255", false),
            ("192.0.2.7", true),
            ("192.0.2.8", false),
            ("2001:db8::1", true),
            ("2001:db9::", false),
            ("::ffff:10.2.3.4", true),
        ] {
            assert_eq!(contains(list, address), want, "{address}");
        }
    }

    #[test]
    fn host_bits_do_not_matter_and_everything_is_everything() {
        assert!(contains("10.9.8.7/8", "10.0.0.1"));
        assert!(contains("0.0.0.0/0", "255.255.255.255") && contains("::/0", "ffff::"));
        assert!(!contains("0.0.0.0/0", "::1"));
        assert!(contains("::ffff:10.0.0.0/104", "10.0.0.1"));
        assert!(["0.0.0.0/0", "10.0.0.1,::/0"].iter().all(|list| Networks::parse(list).unwrap().holds_a_family()));
        assert!(!Networks::parse("0.0.0.0/1,::1").unwrap().holds_a_family());
    }

    #[test]
    fn what_is_no_network_is_named() {
        for text in [
            "10.0.0.0/33",
            "10.0.0",
            "x",
            "10.0.0.1;",
            "$remote_addr",
            "10.0.0.1\n10.0.0.2",
            "1.2.3.4}",
            ",",
            "\u{0}",
            "१.2.3.4",
        ] {
            assert!(Networks::parse(text).is_err(), "{text:?}");
        }
    }

    /// The set answers as each network by itself.
    #[test]
    fn overlapping_and_adjacent_ranges_agree_with_each_network() {
        let nets = ["10.0.0.0/30", "10.0.0.4/31", "10.0.0.6/32", "10.0.0.2/31", "10.0.0.9/32"];
        let set = Networks::parse(&nets.join(",")).unwrap();
        for last in 0..=12_u8 {
            let address = IpAddr::from([10, 0, 0, last]);
            let want = nets.iter().any(|net| net.parse::<IpNet>().unwrap().contains(&address));
            assert_eq!(set.contains(address), want, "{address}");
        }
    }
}
