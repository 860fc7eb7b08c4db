//! Fields that features set reach the client on the endpoint's answers and on the gateway's own.
use http::Method;

use crate::support::{Client, Reply, Rig, Scripted, Site, Spec, empty};

const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nAccess-Control-Allow-Origin: http://backend\r\n\
                      Set-Cookie: a=1; Path=/app/x\r\nSet-Cookie: b=2\r\n\r\nok";

async fn rig(backend: &Scripted) -> Rig {
    let cors = |service, host| {
        Spec::to(service)
            .host(host)
            .annotation("enable-cors", "true")
            .annotation("cors-allow-origin", "https://app.test")
    };
    let site = Site::default()
        .rule(cors("app", "a.test"))
        .rule(cors("gone", "empty.test"))
        .rule(Spec::to("app").host("cookie.test").annotation("proxy-cookie-path", "/app/ /"))
        .endpoints("app", [backend.address])
        .endpoints("gone", []);
    Rig::start(site).await
}

async fn from_origin(rig: &Rig, method: Method, host: &str, origin: &str) -> Reply {
    let mut client = Client::h1(rig.http).await;
    let request = client.request(method, host, "/").header("Origin", origin);
    client.send(request.body(empty()).unwrap()).await
}

#[tokio::test]
async fn a_preflight_request_never_reaches_the_endpoint() {
    let backend = Scripted::answering(ANSWER).await;
    let rig = rig(&backend).await;
    let reply = from_origin(&rig, Method::OPTIONS, "a.test", "https://app.test").await;
    assert_eq!((reply.status.as_u16(), reply.body.len()), (204, 0));
    assert_eq!(reply.header("access-control-allow-origin"), Some("https://app.test"));
    assert!(backend.heads().is_empty());
}

#[tokio::test]
async fn an_allowed_origin_replaces_what_the_endpoint_says() {
    let backend = Scripted::answering(ANSWER).await;
    let rig = rig(&backend).await;
    for (origin, want) in [("https://app.test", "https://app.test"), ("https://evil.test", "http://backend")] {
        let reply = from_origin(&rig, Method::GET, "a.test", origin).await;
        let sent: Vec<_> = reply.headers.get_all("access-control-allow-origin").iter().collect();
        assert_eq!(sent, [want]);
    }
}

#[tokio::test]
async fn errors_of_the_gateway_can_be_read_by_an_allowed_origin() {
    let backend = Scripted::answering(ANSWER).await;
    let rig = rig(&backend).await;
    let reply = from_origin(&rig, Method::GET, "empty.test", "https://app.test").await;
    assert_eq!(reply.status.as_u16(), 503);
    assert_eq!(reply.header("access-control-allow-origin"), Some("https://app.test"));
}

#[tokio::test]
async fn cookies_get_their_new_path_and_keep_their_order() {
    let backend = Scripted::answering(ANSWER).await;
    let rig = rig(&backend).await;
    let reply = Client::h1(rig.http).await.get("cookie.test", "/").await;
    let cookies: Vec<_> = reply.headers.get_all("set-cookie").iter().collect();
    assert_eq!(cookies, ["a=1; Path=/x", "b=2"]);
}
