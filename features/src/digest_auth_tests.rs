//! What clients prove, and what is no proof.
use std::cell::RefCell;
use std::collections::HashSet;
use std::time::Duration;

use http::{HeaderMap, Method};

use super::*;
use crate::{Labels, World};

/// The client of RFC 2617, section 3.5: user Mufasa, password `Circle Of Life`.
const STORED: &str = "testrealm@host.com:939e7578ed9e3c518a452acee763bce9";
const EXAMPLE: &str = "Digest username=\"Mufasa\", realm=\"testrealm@host.com\", \
    nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", uri=\"/dir/index.html\", qop=auth, nc=00000001, cnonce=\"0a4f113b\", \
    response=\"6629fae49393a05397450978507c4ef1\", opaque=\"5ccc069c403ebaf9f0171e9517f40e41\"";

#[derive(Debug, Default)]
struct Told {
    now: Duration,
    used: RefCell<HashSet<((u64, u64), u32)>>,
}

impl World for Told {
    fn now(&self) -> Duration {
        self.now
    }

    fn random(&self) -> u32 {
        7
    }

    fn seal(&self, text: &[u8]) -> [u8; 16] {
        Md5::new().chain_update("key").chain_update(text).finalize().into()
    }

    fn use_nonce(&self, nonce: (u64, u64), count: u32) -> bool {
        self.used.borrow_mut().insert((nonce, count))
    }
}

fn users() -> DigestUsers {
    let mut users = DigestUsers::new("testrealm@host.com");
    users.add("Mufasa", STORED).unwrap();
    users
}

fn check(world: &Told, field: &str, target: &str) -> Checked {
    let mut headers = HeaderMap::new();
    headers.insert(header::AUTHORIZATION, HeaderValue::from_str(field).unwrap());
    let labels = Labels::default();
    let request = Request { target, world, ..crate::request::tests::plain(&headers, &labels) };
    users().check(&request)
}

/// What a client sends that knows the password, for a nonce that the gateway has made now.
fn proven(world: &Told, nc: &str) -> String {
    let (headers, labels) = (HeaderMap::new(), Labels::default());
    let request = Request { world, ..crate::request::tests::plain(&headers, &labels) };
    let challenge = users().challenge(&request, false).unwrap();
    let nonce = challenge.to_str().unwrap().split('"').nth(5).unwrap().to_owned();
    let field = EXAMPLE.replace("dcd98b7102dd2f0e8b11d0f600bfb0c093", &nonce).replace("00000001", nc);
    let sent = Sent::parse(field.as_bytes()).unwrap();
    let right = hex(&sent.answer(&proof_of(&STORED.as_bytes()[19..]).unwrap(), "GET"));
    field.replace("6629fae49393a05397450978507c4ef1", &right)
}

#[test]
fn the_example_of_the_rfc_is_right() {
    let sent = Sent::parse(EXAMPLE.as_bytes()).unwrap();
    let proof = proof_of(&STORED.as_bytes()[19..]).unwrap();
    assert_eq!(hex(&sent.answer(&proof, Method::GET.as_str())), "6629fae49393a05397450978507c4ef1");
    // Its nonce is somebody else's.
    assert_eq!(check(&Told::default(), EXAMPLE, "/dir/index.html"), Checked::Stale);
}

#[test]
fn a_proof_passes_once_and_while_its_nonce_lasts() {
    let mut world = Told::default();
    let (first, second) = (proven(&world, "00000001"), proven(&world, "0000000A"));
    let target = "/dir/index.html";
    assert!(matches!(check(&world, &first, target), Checked::Passes(Some(_))));
    assert_eq!(check(&world, &first, target), Checked::Stale);
    assert!(matches!(check(&world, &second, target), Checked::Passes(Some(_))));
    world.now = Duration::from_secs(LIFETIME);
    assert_eq!(check(&world, &proven(&Told::default(), "00000003"), target), Checked::Stale);
}

#[test]
fn what_is_proven_holds_for_its_target_method_and_user() {
    let world = Told::default();
    let field = proven(&world, "00000001");
    assert_eq!(check(&world, &field, "/dir/index.html?"), Checked::Elsewhere);
    for (from, to) in [("Mufasa", "Scar"), ("0a4f113b", "0a4f113c"), ("nc=00000001", "nc=00000002")] {
        assert_eq!(check(&world, &field.replace(from, to), "/dir/index.html"), Checked::Wrong, "{to}");
    }
    let forged = field.replace("nonce=\"0", "nonce=\"1");
    assert_eq!(check(&world, &forged, "/dir/index.html"), Checked::Wrong);
}

#[test]
fn what_is_not_what_was_asked_for_is_no_proof() {
    let world = Told::default();
    let field = proven(&world, "00000001");
    for (from, to) in [
        ("Digest ", "Basic "),
        ("qop=auth", "qop=auth-int"),
        ("qop=auth, ", ""),
        ("qop=auth", "qop=auth, algorithm=SHA-256"),
        ("qop=auth", "qop=auth, userhash=true"),
        ("qop=auth", "qop=auth, qop=auth"),
        ("nc=00000001", "nc=1"),
        ("nc=00000001", "nc=00000000"),
        ("nc=00000001", "nc=+0000001"),
        ("cnonce=\"0a4f113b\"", "cnonce=\"\""),
        ("cnonce=\"0a4f113b\"", "cnonce=\"0a4f113b"),
        ("response=\"", "response=\"0"),
        ("testrealm@host.com", "other"),
        ("uri=\"/dir", "uri=\"\\/dir"),
        (", opaque", " opaque"),
        ("opaque", ""),
    ] {
        let changed = field.replace(from, to);
        assert_ne!(changed, field, "{from}");
        assert_eq!(check(&world, &changed, "/dir/index.html"), Checked::Missing, "{to}");
    }
    let long = format!("{field}, x=\"{}\"", "y".repeat(LONGEST));
    assert_eq!(check(&world, &long, "/dir/index.html"), Checked::Missing);
    let spaced = field.replace("qop=auth", "QOP = \"auth\" ,, algorithm=md5").replacen("Digest ", "dIGEST   ", 1);
    assert!(matches!(check(&world, &spaced, "/dir/index.html"), Checked::Passes(_)));
}

#[test]
fn any_part_of_a_field_is_read_without_panic() {
    let field = proven(&Told::default(), "00000001").replace("Mufasa", "M\u{fc}f\\\"asa\\\\");
    for cut in 0..field.len() {
        Sent::parse(&field.as_bytes()[..cut]);
        Sent::parse(&[b"Digest ", &field.as_bytes()[cut..]].concat());
        for byte in *b"\\\"=, \xff\0" {
            let mut changed = field.clone().into_bytes();
            changed[cut] = byte;
            Sent::parse(&changed);
        }
    }
    assert_eq!(Sent::parse(field.as_bytes()).unwrap().user, "M\u{fc}f\"asa\\");
    for nonce in ["", "0", "\u{e9}".repeat(16).as_str(), "+".repeat(64).as_str(), "0".repeat(64).as_str()] {
        let (headers, labels) = (HeaderMap::new(), Labels::default());
        let told = Told::default();
        assert!(!takes(nonce, 1, &Request { world: &told, ..crate::request::tests::plain(&headers, &labels) }));
    }
}

#[test]
fn stored_users_have_a_realm_and_a_proof() {
    let mut users = users();
    assert!(users.add("a", "testrealm@host.com:939E7578ED9E3C518A452ACEE763BCE9").is_ok());
    for stored in
        ["", "x", "other:939e7578ed9e3c518a452acee763bce9", "testrealm@host.com:939e", "testrealm@host.com:\u{e9}"]
    {
        assert!(users.add("b", stored).is_err(), "{stored}");
    }
    assert!(!format!("{users:?}").contains("939"));
}
