//! Stored passwords, as htpasswd files hold them, and whether a password is the one that was stored.
use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use md5::Md5;
use sha_crypt::{PasswordVerifier, ShaCrypt};
use sha1::{Digest, Sha1};
use subtle::ConstantTimeEq;

/// Longest password that a slow hash is computed of, in bytes: musl's crypt, which ingress-nginx uses, has the same limit.
/// Computing takes longer the longer a password is.
const LONGEST: usize = 256;

/// Highest cost of bcrypt: a core computes it in about ten seconds.
const MAX_COST: u32 = 17;

/// Highest number of rounds of SHA-crypt.
const MAX_ROUNDS: u32 = 5_000_000;

/// A password as it was stored. Neither it nor a password is ever printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Hash {
    text: Box<str>,
    kind: Kind,
}

#[derive(Clone, PartialEq, Eq)]
enum Kind {
    /// `{PLAIN}`
    Plain,
    /// `{SHA}`, and `{SSHA}` with a salt.
    Sha1 { digest: [u8; 20], salt: Box<[u8]> },
    /// `$apr1$`, and `$1$`.
    Md5Crypt { magic: &'static str },
    /// `$2a$`, `$2b$`, `$2x$`, `$2y$`
    Bcrypt,
    /// `$5$`, `$6$`
    ShaCrypt,
}

impl Hash {
    /// Reads what stands after the colon of a line.
    ///
    /// # Errors
    /// Why it cannot be used, as a clause with the remedy.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let kind = if text.starts_with("{PLAIN}") {
            Kind::Plain
        } else if let Some(encoded) = text.strip_prefix("{SHA}") {
            sha1(encoded).filter(|kind| matches!(kind, Kind::Sha1 { salt, .. } if salt.is_empty())).ok_or(BROKEN)?
        } else if let Some(encoded) = text.strip_prefix("{SSHA}") {
            sha1(encoded).ok_or(BROKEN)?
        } else if text.starts_with(APR1) {
            md5_parts(text, APR1).map(|_| Kind::Md5Crypt { magic: APR1 }).ok_or(BROKEN)?
        } else if text.starts_with(MD5) {
            md5_parts(text, MD5).map(|_| Kind::Md5Crypt { magic: MD5 }).ok_or(BROKEN)?
        } else if ["$2a$", "$2b$", "$2x$", "$2y$"].iter().any(|magic| text.starts_with(magic)) {
            let cost = bcrypt_cost(text).ok_or(BROKEN)?;
            if cost > MAX_COST {
                return Err("has a bcrypt cost above 17, which takes too long; store it with a lower cost");
            }
            Kind::Bcrypt
        } else if text.starts_with("$5$") || text.starts_with("$6$") {
            if rounds(text).ok_or(BROKEN)? > MAX_ROUNDS {
                return Err("has more than 5000000 rounds, which takes too long; store it with fewer");
            }
            Kind::ShaCrypt
        } else {
            return Err("is stored in a form that is not supported; store it with bcrypt (htpasswd -B)");
        };
        Ok(Self { text: text.into(), kind })
    }

    /// Is it slow to compute? Then it must not be computed where requests are served.
    #[must_use]
    pub fn is_slow(&self) -> bool {
        matches!(self.kind, Kind::Md5Crypt { .. } | Kind::Bcrypt | Kind::ShaCrypt)
    }

    /// The stored text. Secret.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.text.as_bytes()
    }

    /// Was this the password? Takes as long when it was not.
    #[must_use]
    pub fn verify(&self, password: &[u8]) -> bool {
        if self.is_slow() && password.len() > LONGEST {
            return false;
        }
        match &self.kind {
            Kind::Plain => {
                let stored = self.text.strip_prefix("{PLAIN}").unwrap_or_default();
                // Digests have one length, so that the length of what is stored does not show.
                Sha1::digest(password).ct_eq(&Sha1::digest(stored)).into()
            }
            Kind::Sha1 { digest, salt } => {
                Sha1::new().chain_update(password).chain_update(salt).finalize().ct_eq(digest).into()
            }
            Kind::Md5Crypt { magic } => md5_parts(&self.text, magic).is_some_and(|(salt, encoded)| {
                md5_crypt(password, magic, salt.as_bytes()).as_bytes().ct_eq(encoded.as_bytes()).into()
            }),
            Kind::Bcrypt => bcrypt::verify(password, &self.text).unwrap_or(false),
            Kind::ShaCrypt => ShaCrypt::default().verify_password(password, &*self.text).is_ok(),
        }
    }
}

const BROKEN: &str = "is stored in a form that is broken; store it anew";

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hash(..)")
    }
}

/// A password to be checked. Neither it nor the hash is ever printed.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordCheck {
    hash: Arc<Hash>,
    password: Box<[u8]>,
    known: bool,
}

impl PasswordCheck {
    /// Of a user who is not known, `hash` is another's: the check takes as long and never passes.
    #[must_use]
    pub fn new(hash: Arc<Hash>, password: &[u8], known: bool) -> Self {
        Self { hash, password: password.into(), known }
    }

    /// Does the password belong to the hash? Slow.
    #[must_use]
    pub fn passes(&self) -> bool {
        self.hash.verify(&self.password) & self.known
    }

    /// What a check that has passed is remembered by, secret: the same bytes are the same check. They hold the stored hash, so
    /// that a changed password is another check, and whether the user is known: a stranger with somebody's password is too.
    #[must_use]
    pub fn secret(&self) -> [&[u8]; 3] {
        [self.hash.as_bytes(), if self.known { b"\0known\0" } else { b"\0unknown\0" }, &self.password]
    }

    /// Is it slow to compute?
    #[must_use]
    pub fn is_slow(&self) -> bool {
        self.hash.is_slow()
    }
}

impl fmt::Debug for PasswordCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordCheck(..)")
    }
}

fn sha1(encoded: &str) -> Option<Kind> {
    let bytes = STANDARD.decode(encoded).or_else(|_| STANDARD_NO_PAD.decode(encoded)).ok()?;
    let (digest, salt) = bytes.split_first_chunk::<20>()?;
    Some(Kind::Sha1 { digest: *digest, salt: salt.into() })
}

/// `$2b$12$` and 53 characters.
fn bcrypt_cost(text: &str) -> Option<u32> {
    let (cost, rest) = text.get(4..)?.split_once('$')?;
    let alphabet = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'/';
    (rest.len() == 53 && rest.bytes().all(alphabet) && cost.len() == 2).then_some(())?;
    cost.parse().ok().filter(|cost| *cost >= 4)
}

/// `$5$rounds=N$salt$digest`, the rounds optional: then they are 5,000.
fn rounds(text: &str) -> Option<u32> {
    let mut fields = text.split('$').skip(2);
    let first = fields.next()?;
    let (rounds, salt) = match first.strip_prefix("rounds=") {
        Some(rounds) => (rounds.parse().ok()?, fields.next()?),
        None => (5000, first),
    };
    let digest = fields.next()?;
    (salt.len() <= 16 && !digest.is_empty() && fields.next().is_none() && rounds >= 1000).then_some(rounds)
}

const APR1: &str = "$apr1$";
const MD5: &str = "$1$";

/// Salt, of at most eight characters, and digest.
fn md5_parts<'a>(text: &'a str, magic: &str) -> Option<(&'a str, &'a str)> {
    let (salt, digest) = text.strip_prefix(magic)?.split_once('$')?;
    (salt.len() <= 8 && digest.len() == 22).then_some((salt, digest))
}

/// Poul-Henning Kamp's MD5-crypt: 1,000 rounds of MD5.
fn md5_crypt(password: &[u8], magic: &str, salt: &[u8]) -> String {
    let inner = Md5::new().chain_update(password).chain_update(salt).chain_update(password).finalize();
    let mut outer = Md5::new().chain_update(password).chain_update(magic).chain_update(salt);
    for chunk in password.chunks(16) {
        outer.update(inner.get(..chunk.len()).unwrap_or_default());
    }
    let mut bits = password.len();
    while bits > 0 {
        // What the first author wrote by mistake is part of the format: a zero byte, not one of the digest.
        let byte = if bits & 1 == 1 { Some(&0) } else { password.first() };
        outer.update(byte.map(std::slice::from_ref).unwrap_or_default());
        bits >>= 1;
    }
    let mut digest = outer.finalize();
    for round in 0..1000_u32 {
        let mut next = Md5::new();
        let odd = round % 2 == 1;
        next.update(if odd { password } else { &digest });
        if round % 3 != 0 {
            next.update(salt);
        }
        if round % 7 != 0 {
            next.update(password);
        }
        next.update(if odd { &digest[..] } else { password });
        digest = next.finalize();
    }
    md5_text(&digest.into())
}

/// The digest in crypt's own base 64 and order.
fn md5_text(digest: &[u8; 16]) -> String {
    const ALPHABET: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    const ORDER: [[usize; 3]; 5] = [[0, 6, 12], [1, 7, 13], [2, 8, 14], [3, 9, 15], [4, 10, 5]];
    let byte = |index: usize| u32::from(digest.get(index).copied().unwrap_or_default());
    let groups = ORDER.map(|[a, b, c]| (byte(a) << 16 | byte(b) << 8 | byte(c), 4));
    let mut text = String::with_capacity(22);
    for (mut value, characters) in groups.into_iter().chain([(byte(11), 2)]) {
        for _ in 0..characters {
            text.push(char::from(ALPHABET.get((value & 0x3f) as usize).copied().unwrap_or(b'.')));
            value >>= 6;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with `openssl passwd`, `htpasswd` and Python's `crypt`; the password is `secret`.
    const STORED: &[&str] = &[
        "{PLAIN}secret",
        "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=",
        "{SSHA}gVK8WC9YyFT1gMsQHTGCgT3sSv5zYWx0",
        "$apr1$abcdefgh$h9FWgUz3n9YxylKLlR5SQ/",
        "$1$abcdefgh$cHJi5PXp/ki/ktXzqlk6I1",
        "$5$saltsalt$0IyaXrmV7.sGNS6tirgqHLqX/G.FBvgkYA.lpPdS5sA",
        "$6$saltsalt$TVLlQcbpFVof5W3Yz4DTP6gRstiNuHwwTt6GLc1E5n0U0aDehy0S5knV8wiOQSpT0Y77vwPZN.Pq.H91p5hVO1",
        "$6$rounds=10000$saltsalt$WowrPBpEDVlCoruBosYlrZycTCx3//TyDHYqEhX9DUHHt0XTztUqzQDDUuvUGRA8aUe9p55hcAxeGcu58sm3u.",
    ];

    #[test]
    fn a_password_is_told_from_another() {
        for stored in STORED {
            let hash = Hash::parse(stored).unwrap_or_else(|why| panic!("{stored} {why}"));
            assert!(hash.verify(b"secret"), "{stored}");
            for wrong in ["", "Secret", "secret ", "secre"] {
                assert!(!hash.verify(wrong.as_bytes()), "{stored} {wrong}");
            }
        }
    }

    #[test]
    fn bcrypt_is_verified_under_all_its_names() {
        let made = bcrypt::hash("secret", 4).unwrap();
        for name in ["$2a$", "$2b$", "$2y$"] {
            let hash = Hash::parse(&made.replacen("$2b$", name, 1)).unwrap();
            assert!(hash.verify(b"secret") && !hash.verify(b"Secret"), "{name}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_refused() {
        for text in [
            "",
            "secret",
            "{SHA}",
            "{SHA}x",
            "{SSHA}AAAA",
            "$apr1$toolongsalt$x",
            "$apr1$x",
            "$2b$12$short",
            "$2b$99$x",
            "$5$",
            "$5$rounds=x$s$d",
            "$6$rounds=999999999$s$d",
            "$y$j9T$x",
            "{MD5}x",
            "abJnggxhB/yWI",
            "\u{0}",
            "${x}",
            "{PLAIN",
        ] {
            assert!(Hash::parse(text).is_err(), "{text:?}");
        }
        let dear = bcrypt::hash("secret", 4).unwrap().replacen("$04$", "$18$", 1);
        assert!(Hash::parse(&dear).unwrap_err().contains("cost"));
    }

    #[test]
    fn a_very_long_password_is_not_computed() {
        let hash = Hash::parse(STORED[3]).unwrap();
        assert!(!hash.verify(&vec![b'x'; LONGEST + 1]));
    }

    #[test]
    fn an_unknown_user_never_passes() {
        let hash = Arc::new(Hash::parse("{PLAIN}secret").unwrap());
        let [known, unknown] = [true, false].map(|known| PasswordCheck::new(hash.clone(), b"secret", known));
        assert!(known.passes() && !unknown.passes());
        assert_ne!(known.secret(), unknown.secret());
    }

    #[test]
    fn nothing_secret_is_printed() {
        let hash = Arc::new(Hash::parse("{PLAIN}secret").unwrap());
        let check = PasswordCheck::new(hash.clone(), b"secret", true);
        assert!(!format!("{hash:?} {check:?}").contains("secret"));
    }
}
