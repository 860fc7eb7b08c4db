//! An authentication service decides about requests.
use std::net::SocketAddr;

use http::{Method, Response};

use crate::support::{Backend, Client, Refusing, Reply, Rig, Scripted, Site, Spec, config, empty, respond};

/// Answers as the request's cookie says: `200`, `401`, ...
async fn service() -> Backend {
    Backend::handling(|request| async move {
        let status =
            request.headers().get("cookie").and_then(|cookie| cookie.to_str().ok()?.parse().ok()).unwrap_or(401);
        let mut response: Response<_> = respond("not for the client");
        *response.status_mut() = http::StatusCode::from_u16(status).unwrap();
        for (name, value) in
            [("x-user", "ann"), ("set-cookie", "a=1"), ("set-cookie", "b=2"), ("www-authenticate", "Bearer")]
        {
            response.headers_mut().append(name, value.parse().unwrap());
        }
        response
    })
    .await
}

fn asking(service: SocketAddr) -> Spec {
    Spec::to("app").annotation("auth-url", format!("http://localhost:{}/check", service.port()))
}

async fn send(client: &mut Client, method: Method, cookie: &str) -> Reply {
    let request = client.request(method, "a.test", "/x?y=z").header("cookie", cookie).header("x-user", "forged");
    client.send(request.body(empty()).unwrap()).await
}

#[tokio::test]
async fn the_service_decides() {
    let (backend, service) = (Backend::echo("app").await, service().await);
    let rule = asking(service.address).annotation("auth-response-headers", "X-User, X-Mail");
    let rig = Rig::start(Site::default().rule(rule).endpoints("app", [backend.address])).await;
    for mut client in [Client::h1(rig.http).await, Client::h2c(rig.http).await] {
        for (answered, status) in [("200", 200), ("204", 200), ("401", 401), ("403", 403), ("302", 500), ("500", 500)] {
            let reply = send(&mut client, Method::GET, answered).await;
            assert_eq!(reply.status, status, "{answered}");
            assert!(!reply.text().contains("not for"));
            assert_eq!(reply.header("www-authenticate"), (status == 401).then_some("Bearer"));
            let cookies: Vec<_> = reply.headers.get_all("set-cookie").iter().collect();
            assert_eq!(cookies.len(), if status == 200 { 2 } else { 0 }, "{answered}");
        }
        assert_eq!(backend.last().header("x-user"), Some("ann"));
    }
    assert_eq!((backend.seen().len(), service.seen().len()), (4, 12));
}

#[tokio::test]
async fn the_service_gets_the_fields_and_not_the_body() {
    let (backend, service) = (Backend::echo("app").await, service().await);
    let rig = Rig::start(Site::default().rule(asking(service.address)).endpoints("app", [backend.address])).await;
    let mut client = Client::h1(rig.http).await;
    let request =
        client.request(Method::POST, "a.test", "/x?y=z").header("cookie", "200").header("x-original-url", "forged");
    let reply = client.send(request.body(crate::support::full("body")).unwrap()).await;
    assert_eq!((reply.status.as_u16(), reply.text()), (200, "body"));
    let seen = service.last();
    assert_eq!((seen.method.as_str(), seen.target.as_str()), ("GET", "/check"));
    for (name, value) in [
        ("host", Some("localhost")),
        ("x-original-url", Some("http://a.test/x?y=z")),
        ("x-original-method", Some("POST")),
        ("x-sent-from", Some("nginx-ingress-controller")),
        ("x-real-ip", Some("127.0.0.1")),
        ("x-auth-request-redirect", Some("/x?y=z")),
        ("cookie", Some("200")),
        ("content-length", None),
        ("transfer-encoding", None),
    ] {
        assert_eq!(seen.header(name), value, "{name}");
    }
    assert_eq!(seen.header("x-request-id"), backend.last().header("x-request-id"));
}

#[tokio::test]
async fn a_service_that_is_down_lets_nobody_pass() {
    let backend = Backend::echo("app").await;
    let refusing = Refusing::new();
    let down = Site::default().rule(asking(refusing.address)).endpoints("app", [backend.address]);
    let rig = Rig::start(down).await;
    let mut client = Client::h1(rig.http).await;
    assert_eq!(send(&mut client, Method::GET, "200").await.status, 500);
    assert!(backend.seen().is_empty());
}

#[tokio::test]
async fn who_is_not_known_is_sent_to_sign_in_with_the_cookies() {
    let (backend, service) = (Backend::echo("app").await, service().await);
    let rule = asking(service.address).annotation("auth-signin", "https://s.test/start?x=1");
    let rig = Rig::start(Site::default().rule(rule).endpoints("app", [backend.address])).await;
    let reply = send(&mut Client::h1(rig.http).await, Method::GET, "401").await;
    assert_eq!(reply.status, 302);
    assert_eq!(reply.header("location"), Some("https://s.test/start?x=1&rd=http://a.test%2Fx%3Fy%3Dz"));
    assert_eq!(reply.headers.get_all("set-cookie").iter().count(), 2);
}

#[tokio::test]
async fn kept_answers_are_not_asked_for_again_but_those_with_cookies_are() {
    let plain = Backend::echo("service").await;
    let (backend, service) = (Backend::echo("app").await, service().await);
    let kept = |address| asking(address).annotation("auth-cache-key", "$cookie_sid");
    let site = Site::default()
        .rule(kept(plain.address))
        .rule(kept(service.address).host("cookies.test"))
        .endpoints("app", [backend.address]);
    let rig = Rig::start(site).await;
    let mut client = Client::h1(rig.http).await;
    for cookie in ["sid=1", "sid=1", "sid=2", "sid=1"] {
        assert_eq!(send(&mut client, Method::GET, cookie).await.status, 200);
    }
    assert_eq!(plain.seen().len(), 2);
    for _ in 0..2 {
        assert_eq!(client.get("cookies.test", "/").await.status, 401);
    }
    assert_eq!(service.seen().len(), 2);
}

#[tokio::test]
async fn a_service_over_tls_is_asked_by_its_name() {
    let (backend, service) = (Backend::echo("app").await, Backend::tls("service", &["http/1.1"]).await);
    let rule = Spec::to("app").annotation("auth-url", format!("https://localhost:{}/", service.address.port()));
    let rig = Rig::start(Site::default().rule(rule).endpoints("app", [backend.address])).await;
    assert_eq!(Client::h1(rig.http).await.get("a.test", "/").await.status, 200);
    assert_eq!(service.last().server_name.as_deref(), Some("localhost"));
}

#[tokio::test]
async fn connections_to_the_service_are_kept_as_asked() {
    let backend = Backend::echo("app").await;
    for (annotations, want) in [
        (&[][..], [0, 0, 0, 0]),
        (&[("auth-keepalive", "0")], [0, 1, 2, 3]),
        (&[("auth-keepalive", "2")], [0, 0, 0, 0]),
        (&[("auth-keepalive", "2"), ("auth-keepalive-requests", "2")], [0, 0, 1, 1]),
        (&[("auth-keepalive", "2"), ("auth-keepalive-timeout", "0")], [0, 1, 2, 3]),
    ] {
        let service = Scripted::recording().await;
        let rule = Spec::to("app").annotation("auth-url", format!("http://{}/", service.address));
        let rule = annotations.iter().fold(rule, |rule, (name, value)| rule.annotation(name, *value));
        let mut config = config();
        config.threads = 1;
        let rig = Rig::with(Site::default().rule(rule).endpoints("app", [backend.address]), config).await;
        let mut client = Client::h1(rig.http).await;
        for _ in 0..want.len() {
            assert_eq!(client.get("a.test", "/").await.status, 200);
        }
        assert_eq!(service.connections(), want, "{annotations:?}");
    }
}
