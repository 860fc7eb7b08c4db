//! Who may use a rule: addresses and passwords.
use http::{Method, header};
use md5::{Digest, Md5};

use crate::support::{Backend, Client, Reply, Rig, Site, Spec, empty};

async fn ask(client: &mut Client, host: &str, authorization: &str) -> Reply {
    let mut request = client.request(Method::GET, host, "/").body(empty()).unwrap();
    if !authorization.is_empty() {
        request.headers_mut().insert(header::AUTHORIZATION, authorization.parse().unwrap());
    }
    client.send(request).await
}

#[tokio::test]
async fn an_address_that_is_not_allowed_gets_403() {
    let backend = Backend::echo("app").await;
    let site = Site::default()
        .rule(Spec::to("app").annotation("allowlist-source-range", "127.0.0.0/8,::1"))
        .rule(Spec::to("app").host("other.test").annotation("whitelist-source-range", "10.0.0.0/8"))
        .rule(Spec::to("app").host("denied.test").annotation("denylist-source-range", "127.0.0.1"))
        .rule(Spec::to("app").host("blocked.test").config(&[("block-user-agents", "~*^bad")]))
        .endpoints("app", [backend.address]);
    let rig = Rig::start(site).await;
    for mut client in [Client::h1(rig.http).await, Client::h2c(rig.http).await] {
        for (host, status) in [("a.test", 200), ("other.test", 403), ("denied.test", 403), ("blocked.test", 200)] {
            assert_eq!(client.get(host, "/").await.status, status, "{host}");
        }
        let request = client.request(Method::GET, "blocked.test", "/").header("user-agent", "BadBot");
        assert_eq!(client.send(request.body(empty()).unwrap()).await.status, 403);
    }
    assert_eq!(backend.seen().len(), 4);
}

/// `secret` for ann with apr1, and for bob with SHA-1.
const USERS: &str = "ann:$apr1$abcdefgh$h9FWgUz3n9YxylKLlR5SQ/\nbob:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n";
const ANN: &str = "Basic YW5uOnNlY3JldA==";
const BOB: &str = "Basic Ym9iOnNlY3JldA==";
const ANN_WRONG: &str = "Basic YW5uOndyb25n";
const EVE: &str = "Basic ZXZlOnNlY3JldA==";

fn protected() -> Spec {
    Spec::to("app")
        .annotation("auth-type", "basic")
        .annotation("auth-secret", "users")
        .annotation("auth-realm", "members only")
        .object("users", "auth", USERS)
}

#[tokio::test]
async fn a_password_lets_pass_and_does_not_reach_the_endpoint() {
    let backend = Backend::echo("app").await;
    let rig = Rig::start(Site::default().rule(protected()).endpoints("app", [backend.address])).await;
    for mut client in [Client::h1(rig.http).await, Client::h2c(rig.http).await] {
        for wrong in ["", ANN_WRONG, EVE, "Bearer x"] {
            let reply = ask(&mut client, "a.test", wrong).await;
            assert_eq!(
                (reply.status.as_u16(), reply.header("www-authenticate")),
                (401, Some("Basic realm=\"members only\""))
            );
        }
        // The second time, the password is remembered.
        for right in [ANN, ANN, BOB] {
            assert_eq!(ask(&mut client, "a.test", right).await.status, 200);
            assert_eq!(backend.last().header("authorization"), None);
        }
        assert_eq!(ask(&mut client, "a.test", ANN_WRONG).await.status, 401);
    }
    assert_eq!(backend.seen().len(), 6);
}

#[tokio::test]
async fn a_password_that_was_changed_passes_no_more() {
    let backend = Backend::echo("app").await;
    let mut rig = Rig::start(Site::default().rule(protected()).endpoints("app", [backend.address])).await;
    let mut client = Client::h1(rig.http).await;
    assert_eq!(ask(&mut client, "a.test", ANN).await.status, 200);
    rig.site.clear_rules();
    rig.site.add(protected().object("users", "auth", "ann:$apr1$saltsalt$h9FWgUz3n9YxylKLlR5SQ/"));
    rig.publish().await;
    assert_eq!(ask(&mut client, "a.test", ANN).await.status, 401);
}

#[tokio::test]
async fn with_any_an_address_or_a_password_is_enough() {
    let backend = Backend::echo("app").await;
    let site = Site::default()
        .rule(protected().annotation("satisfy", "any").annotation("allowlist-source-range", "127.0.0.1"))
        .rule(
            protected().host("far.test").annotation("satisfy", "any").annotation("allowlist-source-range", "10.0.0.1"),
        )
        .rule(protected().host("both.test").annotation("allowlist-source-range", "10.0.0.1"))
        .endpoints("app", [backend.address]);
    let rig = Rig::start(site).await;
    let mut client = Client::h1(rig.http).await;
    for (host, authorization, status) in [
        ("a.test", "", 200),
        ("a.test", ANN_WRONG, 200),
        ("far.test", ANN, 200),
        ("far.test", ANN_WRONG, 401),
        ("far.test", "", 401),
        ("both.test", ANN, 403),
    ] {
        assert_eq!(ask(&mut client, host, authorization).await.status, status, "{host} {authorization}");
    }
    assert!(backend.seen().iter().all(|seen| seen.header("authorization").is_none()));
}

fn md5(text: &str) -> String {
    Md5::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What a client sends that knows a password of ann, asked with a challenge.
fn proof(challenge: &str, password: &str, uri: &str, nc: u32) -> String {
    let nonce = challenge.split("nonce=\"").nth(1).unwrap().split('"').next().unwrap();
    let (who, what) = (md5(&format!("ann:members only:{password}")), md5(&format!("GET:{uri}")));
    let response = md5(&format!("{who}:{nonce}:{nc:08x}:c0ffee:auth:{what}"));
    format!(
        "Digest username=\"ann\", realm=\"members only\", nonce=\"{nonce}\", uri=\"{uri}\", qop=auth, nc={nc:08x}, \
         cnonce=\"c0ffee\", response=\"{response}\""
    )
}

#[tokio::test]
async fn a_digest_proves_a_password_once() {
    let backend = Backend::echo("app").await;
    let users = format!("ann:members only:{}\n", md5("ann:members only:secret"));
    let digest = |spec: Spec| spec.annotation("auth-type", "digest").object("users", "auth", users.as_str());
    let site = Site::default()
        .rule(digest(protected()))
        .rule(digest(protected().host("any.test").annotation("satisfy", "any")))
        .endpoints("app", [backend.address]);
    let rig = Rig::start(site).await;
    for host in ["a.test", "any.test"] {
        let mut first = Client::h1(rig.http).await;
        let asked = ask(&mut first, host, "").await;
        let challenge = asked.header("www-authenticate").unwrap().to_owned();
        assert!(
            asked.status == 401 && challenge.starts_with("Digest realm=\"members only\", qop=\"auth\""),
            "{challenge}"
        );
        // A nonce is known on every connection, whichever worker has it.
        for (nc, password, uri, status, stale) in [
            (1, "secret", "/", 200, false),
            (1, "secret", "/", 401, true),
            (3, "wrong", "/", 401, false),
            (3, "secret", "/other", 400, false),
            (3, "secret", "/", 200, false),
            (2, "secret", "/", 200, false),
            (3, "secret", "/", 401, true),
        ] {
            let mut client = Client::h2c(rig.http).await;
            let reply = ask(&mut client, host, &proof(&challenge, password, uri, nc)).await;
            assert_eq!(reply.status, status, "{host} {nc} {password} {uri}");
            let again = reply.header("www-authenticate");
            assert_eq!(again.is_some_and(|again| again.ends_with(", stale=true")), stale, "{again:?}");
            assert_eq!(reply.header("authentication-info").is_some(), status == 200);
            if status == 200 {
                assert_eq!(backend.last().header("authorization"), None);
            }
        }
        assert_eq!(ask(&mut first, host, ANN).await.status, 401);
    }
    assert_eq!(backend.seen().len(), 6);
}
