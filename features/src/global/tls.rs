//! TLS with clients, for all hosts.
use super::GlobalReader;
use crate::Keys;
use crate::annotation::{Key, OnError, Row, Support};
use crate::ciphers::{self, Suite, Suites};

const PROTOCOLS: Key<Versions> = Key {
    row: Row {
        name: "ssl-protocols",
        sentence: "TLS versions that clients may speak.",
        default: "TLSv1.2 TLSv1.3",
        example: "TLSv1.3",
        support: Support::Approximated("Versions before TLSv1.2 do not exist here."),
    },
    parse: versions,
    on_error: OnError::Default,
};

const CIPHERS: Key<Suites> = Key {
    row: Row {
        name: "ssl-ciphers",
        sentence: "Cipher suites for clients that speak TLS 1.2, as OpenSSL writes them, the preferred first; the gateway's order counts then.",
        default: "all that exist here; the client's order counts",
        example: "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256",
        support: Support::Approximated(
            "Only ECDHE with AES-GCM or CHACHA20 exists here; other words of the list select nothing.",
        ),
    },
    parse: ciphers::parse,
    on_error: OnError::Default,
};

/// The keys that [`Tls::read`] takes.
pub(crate) const CONFIG: Keys = &[&PROTOCOLS, &CIPHERS];

/// Which versions clients may speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Versions {
    /// TLS 1.2 and 1.3.
    Both,
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

/// TLS with clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// Versions that clients may speak.
    pub versions: Versions,
    /// Suites of TLS 1.2, the preferred first; empty for all. When there are some, their order counts, else the client's.
    pub suites: Box<[Suite]>,
}

impl Default for Tls {
    fn default() -> Self {
        Self { versions: Versions::Both, suites: Box::default() }
    }
}

impl Tls {
    pub(super) fn read(reader: &mut GlobalReader<'_>) -> Self {
        let versions = reader.config.get(&PROTOCOLS).unwrap_or(Versions::Both);
        let Some(suites) = reader.config.get(&CIPHERS) else { return Self { versions, suites: Box::default() } };
        if let Some(how) = suites.difference() {
            reader.report(CIPHERS.row.name, format!("is honoured with a difference: {how}"));
        }
        Self { versions, suites: suites.list }
    }
}

fn versions(text: &str) -> Result<Versions, String> {
    let words: Vec<_> = text.split_ascii_whitespace().collect();
    let known = |word: &&str| matches!(*word, "SSLv2" | "SSLv3" | "TLSv1" | "TLSv1.1" | "TLSv1.2" | "TLSv1.3");
    match (words.iter().all(known), words.contains(&"TLSv1.2"), words.contains(&"TLSv1.3")) {
        (true, true, true) => Ok(Versions::Both),
        (true, true, false) => Ok(Versions::Tls12),
        (true, false, true) => Ok(Versions::Tls13),
        _ => Err("is no list of versions with TLSv1.2 or TLSv1.3".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::annotation::Config;
    use crate::{Global, NoObjects};

    #[test]
    fn old_versions_are_left_out_and_nonsense_keeps_the_default() {
        let read = |text: &str| {
            let config = Config::new([("ssl-protocols".to_owned(), text.to_owned())]);
            Global::read(&config, &NoObjects).0.tls.versions
        };
        assert_eq!(read("TLSv1 TLSv1.1 TLSv1.2"), Versions::Tls12);
        assert_eq!(read("TLSv1.3"), Versions::Tls13);
        for text in ["TLSv1", "TLSv1.3;", "all", ""] {
            assert_eq!(read(text), Versions::Both, "{text}");
        }
    }
}
