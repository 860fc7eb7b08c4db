//! Pages of the default backend in the place of errors, and the default backend itself while a rule has no endpoint.
use crate::support::{Backend, Client, Refusing, Rig, Scripted, Site, Spec};

const NOT_FOUND: &str = "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nmine";

async fn sorry() -> Scripted {
    Scripted::answering("HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\nsorry").await
}

#[tokio::test]
async fn a_page_takes_the_place_of_a_listed_status() {
    let (app, pages) = (Scripted::answering(NOT_FOUND).await, sorry().await);
    let spec = Spec::to("app").annotation("custom-http-errors", "404").annotation("default-backend", "pages");
    let rig =
        Rig::start(Site::default().rule(spec).endpoints("app", [app.address]).endpoints("pages", [pages.address]))
            .await;
    let mut client = Client::h1(rig.http).await;
    let request = client.request(http::Method::POST, "a.test", "/a/b?c=d").header("accept", "text/html");
    let reply = client.send(request.body(crate::support::full("body")).unwrap()).await;
    assert_eq!((reply.status.as_u16(), reply.text()), (404, "sorry"));
    let asked = pages.last();
    assert_eq!(asked.first, "POST /?c=d HTTP/1.0");
    for (name, value) in [
        ("x-code", "404"),
        ("x-format", "text/html"),
        ("x-original-uri", "/a/b?c=d"),
        ("x-namespace", "default"),
        ("x-ingress-name", "web"),
        ("x-service-name", "app"),
        ("x-service-port", "80"),
        ("host", "a.test"),
        ("x-forwarded-for", "127.0.0.1"),
    ] {
        assert_eq!(asked.one(name), Some(value), "{name}");
    }
    assert!(asked.one("x-request-id").is_some());
    assert_eq!(asked.one("x-forwarded-proto"), None);
    assert_eq!(Client::h2c(rig.http).await.get("a.test", "/").await.text(), "sorry");
}

#[tokio::test]
async fn what_is_not_listed_or_not_to_be_intercepted_passes() {
    let (app, pages) = (Scripted::answering(NOT_FOUND).await, sorry().await);
    for spec in [
        Spec::to("app").annotation("custom-http-errors", "503"),
        Spec::to("app").annotation("custom-http-errors", "404").annotation("disable-proxy-intercept-errors", "true"),
    ] {
        let spec = spec.annotation("default-backend", "pages");
        let site = Site::default().rule(spec).endpoints("app", [app.address]).endpoints("pages", [pages.address]);
        let rig = Rig::start(site).await;
        assert_eq!(Client::h1(rig.http).await.get("a.test", "/").await.text(), "mine");
    }
    assert_eq!(pages.heads().len(), 0);
}

#[tokio::test]
async fn the_controllers_default_backend_gives_the_pages_of_rules_without_their_own() {
    let (app, pages) = (Scripted::answering(NOT_FOUND).await, sorry().await);
    let site = Site::default()
        .rule(Spec::to("app").annotation("custom-http-errors", "404"))
        .default_backend(Spec::to("pages"))
        .endpoints("app", [app.address])
        .endpoints("pages", [pages.address]);
    let rig = Rig::start(site).await;
    assert_eq!(Client::h1(rig.http).await.get("a.test", "/").await.text(), "sorry");
}

#[tokio::test]
async fn without_anybody_to_ask_the_answer_is_500_and_503_while_nobody_is_there() {
    let (app, dead) = (Scripted::answering(NOT_FOUND).await, Refusing::new());
    let rule = |name| Spec::to(name).annotation("custom-http-errors", "404,502,503");
    let site = || {
        Site::default()
            .rule(rule("app"))
            .rule(rule("dead").host("dead.test"))
            .rule(rule("empty").host("empty.test"))
            .endpoints("app", [app.address])
            .endpoints("dead", [dead.address])
            .endpoints("empty", [])
            .endpoints("pages", [])
    };
    for (site, status) in [(site(), 500), (site().default_backend(Spec::to("pages")), 503)] {
        let rig = Rig::start(site).await;
        for host in ["a.test", "dead.test", "empty.test"] {
            assert_eq!(Client::h1(rig.http).await.get(host, "/").await.status, status, "{host}");
        }
    }
}

#[tokio::test]
async fn a_page_is_asked_for_with_a_body_of_any_size() {
    let (app, pages) = (Scripted::answering(NOT_FOUND).await, Backend::echo("pages").await);
    let spec = Spec::to("app").annotation("custom-http-errors", "404").annotation("default-backend", "pages");
    let site = Site::default().rule(spec).endpoints("app", [app.address]).endpoints("pages", [pages.address]);
    let rig = Rig::start(site).await;
    for mut client in [Client::h1(rig.http).await, Client::h2c(rig.http).await] {
        assert_eq!(client.post("a.test", "/", vec![b'x'; 300_000]).await.text().len(), 300_000);
    }
}

#[tokio::test]
async fn what_the_gateway_answers_itself_gets_a_page_too() {
    let (dead, pages) = (Refusing::new(), sorry().await);
    let spec = Spec::to("app").annotation("custom-http-errors", "502,503").annotation("default-backend", "pages");
    let site = Site::default().rule(spec).endpoints("app", [dead.address]).endpoints("pages", [pages.address]);
    let rig = Rig::start(site).await;
    assert_eq!(Client::h1(rig.http).await.post("a.test", "/x", "body").await.text(), "sorry");
    assert_eq!(pages.last().one("x-code"), Some("502"));
}

#[tokio::test]
async fn a_rule_without_endpoints_is_served_by_its_default_backend_as_it_is() {
    let pages = Backend::echo("sorry").await;
    let spec = Spec::to("app").annotation("default-backend", "pages");
    let mut rig = Rig::start(Site::default().rule(spec).endpoints("app", []).endpoints("pages", [pages.address])).await;
    let mut client = Client::h1(rig.http).await;
    let reply = client.get("a.test", "/path?query").await;
    assert_eq!((reply.status.as_u16(), reply.text()), (200, "sorry"));
    let seen = pages.last();
    assert_eq!((seen.target.as_str(), seen.header("x-code")), ("/path?query", Some("503")));
    let app = Backend::echo("app").await;
    rig.site.set_endpoints("app", [app.address]);
    rig.publish().await;
    assert_eq!(client.get("a.test", "/").await.text(), "app");
}

#[tokio::test]
async fn an_error_page_that_fails_is_an_error_and_not_a_loop() {
    let (app, dead) = (Scripted::answering(NOT_FOUND).await, Refusing::new());
    let spec = Spec::to("app").annotation("custom-http-errors", "404,502").annotation("default-backend", "pages");
    let site = Site::default().rule(spec).endpoints("app", [app.address]).endpoints("pages", [dead.address]);
    let rig = Rig::start(site).await;
    assert_eq!(Client::h1(rig.http).await.get("a.test", "/").await.status, 502);
}
