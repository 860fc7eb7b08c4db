//! HTTP Digest authentication (RFC 7616): what a client proves with MD5 and `qop=auth`, and what it is told.
use std::collections::BTreeMap;
use std::fmt::Write;

use http::{HeaderValue, header};
use md5::{Digest, Md5};
use subtle::ConstantTimeEq;

use crate::Request;

/// Longest Authorization field that is read, in bytes.
const LONGEST: usize = 8192;

/// How long a nonce may be used, in seconds: as long as Apache's `AuthDigestNonceLifetime`.
const LIFETIME: u64 = 300;

/// The MD5 of `user:realm:password`. As good as the password, so it is never printed.
type Proof = [u8; 16];

/// Who may pass, by name.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct DigestUsers {
    realm: Box<str>,
    users: BTreeMap<Box<str>, Proof>,
}

impl std::fmt::Debug for DigestUsers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DigestUsers").field("realm", &self.realm).field("users", &self.users.len()).finish()
    }
}

/// What came of an Authorization field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Checked {
    /// The client knows the password; this is `Authentication-Info`, by which it sees that the gateway does, too.
    Passes(Option<HeaderValue>),
    /// There is no proof that could be read.
    Missing,
    /// The user or the proof is wrong.
    Wrong,
    /// The proof is right, but for a nonce that has expired, is of another process, or was used so often before.
    Stale,
    /// The proof is for another target.
    Elsewhere,
}

impl DigestUsers {
    /// Nobody yet.
    pub(crate) fn new(realm: &str) -> Self {
        Self { realm: realm.into(), users: BTreeMap::new() }
    }

    /// Adds a user by what stands behind the name: realm and proof. Of several the first counts.
    ///
    /// # Errors
    /// Why it cannot be used, as a clause with the remedy.
    pub(crate) fn add(&mut self, name: &str, stored: &str) -> Result<(), &'static str> {
        const FORM: &str = "is not of the form realm:MD5; store it with htdigest";
        let (realm, proof) = stored.split_once(':').ok_or(FORM)?;
        let proof = proof_of(proof.as_bytes()).ok_or(FORM)?;
        if realm != &*self.realm {
            return Err("is for another realm than auth-realm; store it with htdigest for that one");
        }
        self.users.entry(name.into()).or_insert(proof);
        Ok(())
    }

    /// Checks what a client has sent.
    pub(crate) fn check(&self, request: &Request<'_>) -> Checked {
        let mut fields = request.headers.get_all(header::AUTHORIZATION).iter();
        let (Some(field), None) = (fields.next(), fields.next()) else { return Checked::Missing };
        let Some(sent) = Sent::parse(field.as_bytes()).filter(|sent| sent.realm == &*self.realm) else {
            return Checked::Missing;
        };
        if sent.uri != request.target {
            return Checked::Elsewhere;
        }
        let known = self.users.get(&*sent.user);
        // An unknown user takes as long.
        let proof = known.or_else(|| self.users.values().next()).copied().unwrap_or_default();
        let right: bool = sent.answer(&proof, request.method.as_str()).ct_eq(&sent.response).into();
        if !right || known.is_none() {
            return Checked::Wrong;
        }
        if !takes(sent.nonce, sent.count, request) {
            return Checked::Stale;
        }
        let back = hex(&sent.answer(&proof, ""));
        let info = format!("qop=auth, rspauth=\"{back}\", cnonce=\"{}\", nc={:08x}", sent.cnonce, sent.count);
        Checked::Passes(HeaderValue::from_str(&info).ok())
    }

    /// Asks for a proof.
    pub(crate) fn challenge(&self, request: &Request<'_>, is_stale: bool) -> Option<HeaderValue> {
        let nonce = Nonce::new(request);
        let stale = if is_stale { ", stale=true" } else { "" };
        let (realm, nonce) = (&self.realm, hex(&nonce.bytes(request)));
        HeaderValue::from_str(&format!(
            "Digest realm=\"{realm}\", qop=\"auth\", algorithm=MD5, nonce=\"{nonce}\"{stale}"
        ))
        .ok()
    }
}

/// When a nonce was made, in seconds since the process started, and a random number. A seal tells that it is the gateway's own,
/// so that none has to be kept.
struct Nonce {
    made: u64,
    random: u64,
}

impl Nonce {
    fn new(request: &Request<'_>) -> Self {
        let [high, low] = [request.world.random(), request.world.random()].map(u64::from);
        Self { made: request.world.now().as_secs(), random: high << 32 | low }
    }

    /// The two numbers and the seal.
    fn bytes(&self, request: &Request<'_>) -> [u8; 32] {
        let mut bytes = [0; 32];
        let (numbers, seal) = bytes.split_at_mut(16);
        numbers.copy_from_slice(&(u128::from(self.made) << 64 | u128::from(self.random)).to_be_bytes());
        seal.copy_from_slice(&request.world.seal(numbers));
        bytes
    }
}

/// Does a nonce that was sent count, and this use of it?
fn takes(nonce: &str, count: u32, request: &Request<'_>) -> bool {
    let Some((made, random)) = nonce.get(..16).zip(nonce.get(16..32)) else { return false };
    let (Ok(made), Ok(random)) = (u64::from_str_radix(made, 16), u64::from_str_radix(random, 16)) else { return false };
    let ours = hex(&Nonce { made, random }.bytes(request));
    let is_ours: bool = ours.as_bytes().ct_eq(nonce.as_bytes()).into();
    let age = request.world.now().as_secs().checked_sub(made);
    is_ours && age.is_some_and(|age| age < LIFETIME) && request.world.use_nonce((made, random), count)
}

/// An Authorization field.
#[derive(Debug)]
struct Sent<'a> {
    user: String,
    realm: &'a str,
    nonce: &'a str,
    uri: &'a str,
    cnonce: &'a str,
    nc: &'a str,
    count: u32,
    response: Proof,
}

impl<'a> Sent<'a> {
    /// Nothing when something is missing, there twice, or not what was asked for.
    fn parse(field: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(field).ok().filter(|text| text.len() <= LONGEST)?;
        let (scheme, mut rest) = text.split_at_checked(7)?;
        if !scheme.eq_ignore_ascii_case("digest ") {
            return None;
        }
        let mut found = BTreeMap::new();
        loop {
            rest = rest.trim_start_matches([' ', '\t', ',']);
            if rest.is_empty() {
                break;
            }
            let (name, value, after) = parameter(rest)?;
            if found.insert(name.to_ascii_lowercase(), value).is_some() {
                return None;
            }
            rest = after.trim_start_matches([' ', '\t']);
            if !rest.is_empty() && !rest.starts_with(',') {
                return None;
            }
        }
        let plain = |name: &str| found.get(name).copied().filter(|value| !value.contains('\\'));
        let is = |name: &str, wanted: &str| plain(name).is_some_and(|value| value.eq_ignore_ascii_case(wanted));
        let fits = is("qop", "auth")
            && (is("algorithm", "MD5") || !found.contains_key("algorithm"))
            && !is("userhash", "true")
            && !found.contains_key("username*");
        let nc = plain("nc").filter(|nc| fits && nc.len() == 8 && nc.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
        Some(Self {
            user: unescaped(found.get("username")?),
            realm: plain("realm")?,
            nonce: plain("nonce")?,
            uri: plain("uri")?,
            cnonce: plain("cnonce").filter(|cnonce| !cnonce.is_empty())?,
            nc,
            count: u32::from_str_radix(nc, 16).ok().filter(|count| *count > 0)?,
            response: proof_of(plain("response")?.as_bytes())?,
        })
    }

    /// What a client answers who knows the proof; with an empty method, what it is answered.
    fn answer(&self, proof: &Proof, method: &str) -> Proof {
        let asked = Md5::new().chain_update(method).chain_update(":").chain_update(self.uri).finalize();
        let mut answer = Md5::new().chain_update(hex(proof));
        for part in [self.nonce, self.nc, self.cnonce, "auth", &hex(&asked)] {
            answer.update(":");
            answer.update(part);
        }
        answer.finalize().into()
    }
}

/// Name and value of the first parameter, a quoted one without its quotes, and what follows.
fn parameter(text: &str) -> Option<(&str, &str, &str)> {
    let (name, rest) = text.split_once('=')?;
    let name = name.trim_end_matches([' ', '\t']);
    let rest = rest.trim_start_matches([' ', '\t']);
    let is_token = |text: &str| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
    };
    let (value, after) = match rest.strip_prefix('"') {
        Some(quoted) => {
            let mut escaped = false;
            let end = quoted.bytes().position(|byte| {
                let ends = byte == b'"' && !escaped;
                escaped = byte == b'\\' && !escaped;
                ends
            })?;
            (quoted.get(..end)?, quoted.get(end + 1..)?)
        }
        None => {
            let (value, after) = rest.split_at_checked(rest.find([' ', '\t', ',']).unwrap_or(rest.len()))?;
            (is_token(value).then_some(value)?, after)
        }
    };
    is_token(name).then_some((name, value, after))
}

fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(next) = rest.next() {
        out.extend(if next == '\\' { rest.next() } else { Some(next) });
    }
    out
}

fn proof_of(text: &[u8]) -> Option<Proof> {
    let mut proof = Proof::default();
    let digit = |byte: u8| u8::try_from(char::from(byte).to_digit(16)?).ok();
    if text.len() != 32 {
        return None;
    }
    for (byte, pair) in proof.iter_mut().zip(text.chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(proof)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a String does not fail.
        write!(text, "{byte:02x}").ok();
        text
    })
}

#[cfg(test)]
#[path = "digest_auth_tests.rs"]
mod tests;
