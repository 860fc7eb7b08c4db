//! Lists of cipher suites as OpenSSL writes them (`ciphers(1)`), and which of the suites that exist here they select.
//!
//! The lists are about TLS 1.2; the suites of TLS 1.3 are always offered, as with nginx's `ssl_ciphers`.
use std::collections::BTreeSet;

/// A suite of TLS 1.2. All of them have forward secrecy and authenticate what they encrypt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Suite {
    /// `ECDHE-ECDSA-AES256-GCM-SHA384`.
    EcdsaAes256,
    /// `ECDHE-RSA-AES256-GCM-SHA384`.
    RsaAes256,
    /// `ECDHE-ECDSA-CHACHA20-POLY1305`.
    EcdsaChacha20,
    /// `ECDHE-RSA-CHACHA20-POLY1305`.
    RsaChacha20,
    /// `ECDHE-ECDSA-AES128-GCM-SHA256`.
    EcdsaAes128,
    /// `ECDHE-RSA-AES128-GCM-SHA256`.
    RsaAes128,
}

use Suite::{EcdsaAes128, EcdsaAes256, EcdsaChacha20, RsaAes128, RsaAes256, RsaChacha20};

/// All of them, in OpenSSL's own order.
const ALL: [Suite; 6] = [EcdsaAes256, RsaAes256, EcdsaChacha20, RsaChacha20, EcdsaAes128, RsaAes128];

/// Longest list that is read, in bytes.
const LONGEST: usize = 4096;

impl Suite {
    /// The number that TLS gives it (IANA).
    #[must_use]
    pub fn number(self) -> u16 {
        match self {
            EcdsaAes128 => 0xc02b,
            EcdsaAes256 => 0xc02c,
            RsaAes128 => 0xc02f,
            RsaAes256 => 0xc030,
            RsaChacha20 => 0xcca8,
            EcdsaChacha20 => 0xcca9,
        }
    }

    /// Is it the suite of this name (IANA)?
    #[must_use]
    pub fn has_name(self, name: &str) -> bool {
        name.contains("_WITH_") && self.is(name) == Some(true)
    }

    /// Does OpenSSL's word, a suite or one of its parts, mean this one? `None` when no word is known.
    fn is(self, word: &str) -> Option<bool> {
        let ecdsa = matches!(self, EcdsaAes256 | EcdsaChacha20 | EcdsaAes128);
        let aes256 = matches!(self, EcdsaAes256 | RsaAes256);
        let chacha20 = matches!(self, EcdsaChacha20 | RsaChacha20);
        let aes128 = matches!(self, EcdsaAes128 | RsaAes128);
        Some(match word {
            "ALL" | "DEFAULT" | "COMPLEMENTOFALL" | "HIGH" | "ECDHE" | "EECDH" | "kECDHE" | "kEECDH" | "TLSv1.2" => {
                word != "COMPLEMENTOFALL"
            }
            "FIPS" | "AES" | "AESGCM" => !chacha20,
            "aRSA" => !ecdsa,
            "aECDSA" | "ECDSA" => ecdsa,
            "AES128" => aes128,
            "AES256" => aes256,
            "CHACHA20" => chacha20,
            "SUITEB128" => self == EcdsaAes128 || self == EcdsaAes256,
            "SUITEB128ONLY" => self == EcdsaAes128,
            "SUITEB192" => self == EcdsaAes256,
            "ECDHE-ECDSA-AES256-GCM-SHA384" | "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384" => self == EcdsaAes256,
            "ECDHE-RSA-AES256-GCM-SHA384" | "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384" => self == RsaAes256,
            "ECDHE-ECDSA-CHACHA20-POLY1305" | "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256" => self == EcdsaChacha20,
            "ECDHE-RSA-CHACHA20-POLY1305" | "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256" => self == RsaChacha20,
            "ECDHE-ECDSA-AES128-GCM-SHA256" | "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256" => self == EcdsaAes128,
            "ECDHE-RSA-AES128-GCM-SHA256" | "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256" => self == RsaAes128,
            _ => return None,
        })
    }
}

/// What a list selects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Suites {
    /// The suites, the preferred first; not empty.
    pub list: Box<[Suite]>,
    /// What it adds that does not exist here, sorted.
    pub unknown: Box<[Box<str>]>,
}

impl Suites {
    /// What it adds that does not exist here, as a difference.
    pub(crate) fn difference(&self) -> Option<String> {
        let names = self.unknown.iter().take(10).map(|name| &**name).collect::<Vec<_>>().join(", ");
        (!names.is_empty())
            .then(|| format!("only ECDHE with AES-GCM or CHACHA20 exists here, so these select nothing: {names:.300}"))
    }
}

/// Reads a list: words between colons, commas or spaces, each with `!`, `-` or `+` before it and its parts joined by `+`.
///
/// # Errors
/// What is wrong; completes "the value ...".
pub(crate) fn parse(text: &str) -> Result<Suites, String> {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:, !+@=".contains(&byte);
    if text.len() > LONGEST || !text.bytes().all(known) {
        return Err("is no list of cipher suites".to_owned());
    }
    let mut selected: Vec<Suite> = Vec::new();
    let mut dead: BTreeSet<Suite> = BTreeSet::new();
    let mut unknown: BTreeSet<Box<str>> = BTreeSet::new();
    for word in text.split([':', ',', ' ']).filter(|word| !word.is_empty()) {
        let (sign, name) = match word.split_at_checked(1) {
            Some((sign @ ("!" | "-" | "+" | "@"), name)) => (sign, name),
            _ => ("", word),
        };
        // The strongest come first already, and no weak ones exist.
        if sign == "@" {
            continue;
        }
        let meant: Vec<Suite> = ALL.into_iter().filter(|suite| means(*suite, name)).collect();
        match sign {
            "!" => {
                selected.retain(|suite| !meant.contains(suite));
                dead.extend(meant);
            }
            "-" => selected.retain(|suite| !meant.contains(suite)),
            "+" => {
                let (moved, stay) = selected.iter().partition::<Vec<_>, _>(|suite| meant.contains(suite));
                selected = stay.into_iter().chain(moved).collect();
            }
            _ => {
                if meant.is_empty() && !is_of_tls13(name) {
                    unknown.insert(name.into());
                }
                let fresh: Vec<_> =
                    meant.into_iter().filter(|suite| !selected.contains(suite) && !dead.contains(suite)).collect();
                selected.extend(fresh);
            }
        }
    }
    if selected.is_empty() {
        return Err("selects no cipher suite that exists here; name one with ECDHE and GCM or CHACHA20".to_owned());
    }
    Ok(Suites { list: selected.into(), unknown: unknown.into_iter().collect() })
}

/// Is it what all parts of a word mean?
fn means(suite: Suite, word: &str) -> bool {
    word.split('+').all(|part| suite.is(part).unwrap_or(false))
}

fn is_of_tls13(word: &str) -> bool {
    word.starts_with("TLS_") && !word.contains("_WITH_")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> Vec<Suite> {
        parse(text).unwrap().list.into()
    }

    /// The default of ingress-nginx.
    const DEFAULT: &str = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:\
                           ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:\
                           DHE-RSA-AES128-GCM-SHA256:DHE-RSA-AES256-GCM-SHA384";

    #[test]
    fn suites_come_in_the_order_of_the_list_and_others_are_told() {
        let suites = parse(DEFAULT).unwrap();
        let want = [EcdsaAes128, RsaAes128, EcdsaAes256, RsaAes256, EcdsaChacha20, RsaChacha20];
        assert_eq!(*suites.list, want);
        assert_eq!(*suites.unknown, ["DHE-RSA-AES128-GCM-SHA256".into(), "DHE-RSA-AES256-GCM-SHA384".into()]);
    }

    #[test]
    fn words_mean_what_they_mean_in_openssl() {
        assert_eq!(list("HIGH:!aNULL:!MD5"), ALL);
        assert_eq!(list("EECDH+AESGCM:EDH+AESGCM"), [EcdsaAes256, RsaAes256, EcdsaAes128, RsaAes128]);
        assert_eq!(list("ALL:!AES256,-CHACHA20"), [EcdsaAes128, RsaAes128]);
        assert_eq!(list("ECDHE+AESGCM+aRSA @STRENGTH"), [RsaAes256, RsaAes128]);
        assert_eq!(list("AESGCM:!aECDSA:ECDSA"), [RsaAes256, RsaAes128], "what is excluded does not come back");
        assert_eq!(list("CHACHA20:-aRSA:CHACHA20"), [EcdsaChacha20, RsaChacha20]);
        assert_eq!(list("AESGCM:+AES256:@SECLEVEL=2"), [EcdsaAes128, RsaAes128, EcdsaAes256, RsaAes256]);
    }

    #[test]
    fn a_list_that_selects_nothing_is_an_error() {
        let long = "A:".repeat(4096);
        for text in ["AES128-SHA", "!ALL", "TLS_AES_128_GCM_SHA256", "RC4:MD5", "", "HIGH;", "HIGH\nHIGH", "$x", &long]
        {
            assert!(parse(text).is_err(), "{text:.40}");
        }
    }

    #[test]
    fn suites_of_tls_1_3_are_neither_selected_nor_unknown() {
        let suites = parse("TLS_AES_128_GCM_SHA256:ECDHE-RSA-AES128-GCM-SHA256:!aNULL:!NOSUCH").unwrap();
        assert_eq!((&*suites.list, suites.unknown.len()), (&[RsaAes128][..], 0));
    }
}
