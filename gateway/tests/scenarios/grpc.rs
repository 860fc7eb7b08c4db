//! gRPC passes, trailers and streams included.
use features::Protocol;
use http::Method;
use tonic::Code;
use tonic_health::ServingStatus;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus as Answer;

use crate::support::{Client, GrpcBackend, Offer, Rig, Site, Spec, bounded, full, grpc_client};

async fn rig(backend: &GrpcBackend) -> Rig {
    backend.reporter.set_service_status("shop", ServingStatus::Serving).await;
    let spec = Spec::to("app").protocol(Protocol::H2c);
    Rig::start(Site::default().rule(spec).endpoints("app", [backend.address])).await
}

fn shop() -> HealthCheckRequest {
    HealthCheckRequest { service: "shop".to_owned() }
}

#[tokio::test]
async fn unary_calls_pass_without_tls() {
    let backend = GrpcBackend::start().await;
    let rig = rig(&backend).await;
    let mut client = grpc_client(rig.wire().await.into_stream(), "http://a.test").await;
    let reply = bounded("the reply", client.check(shop())).await.unwrap();
    assert_eq!(reply.get_ref().status(), Answer::Serving);
}

#[tokio::test]
async fn unary_calls_pass_over_tls() {
    let backend = GrpcBackend::start().await;
    let rig = rig(&backend).await;
    let stream = Offer::h2("a.test").connect(rig.https).await.unwrap();
    let mut client = grpc_client(stream, "https://a.test").await;
    let reply = bounded("the reply", client.check(shop())).await.unwrap();
    assert_eq!(reply.get_ref().status(), Answer::Serving);
}

#[tokio::test]
async fn a_stream_delivers_each_message_when_it_happens() {
    let backend = GrpcBackend::start().await;
    let rig = rig(&backend).await;
    let stream = Offer::h2("a.test").connect(rig.https).await.unwrap();
    let mut client = grpc_client(stream, "https://a.test").await;
    let mut stream = bounded("the stream", client.watch(shop())).await.unwrap().into_inner();
    for (status, answer) in [
        (None, Answer::Serving),
        (Some(ServingStatus::NotServing), Answer::NotServing),
        (Some(ServingStatus::Serving), Answer::Serving),
    ] {
        if let Some(status) = status {
            backend.reporter.set_service_status("shop", status).await;
        }
        let message = bounded("the message", stream.message()).await.unwrap().unwrap();
        assert_eq!(message.status(), answer);
    }
}

#[tokio::test]
async fn an_error_arrives_as_status_and_message() {
    let backend = GrpcBackend::start().await;
    let rig = rig(&backend).await;
    let mut client = grpc_client(rig.wire().await.into_stream(), "http://a.test").await;
    let request = HealthCheckRequest { service: "nobody".to_owned() };
    let status = bounded("the reply", client.check(request)).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::NotFound, "service not registered"));
}

/// A gRPC client reads HTTP 503 without a gRPC content type as UNAVAILABLE.
#[tokio::test]
async fn calls_without_endpoints_are_unavailable() {
    let spec = Spec::to("app").protocol(Protocol::H2c);
    let rig = Rig::start(Site::default().rule(spec).endpoints("app", [])).await;
    let mut client = Client::h2c(rig.http).await;
    let request = client.request(Method::POST, "a.test", "/grpc.health.v1.Health/Check");
    let request = request.header("content-type", "application/grpc").header("te", "trailers");
    let reply = client.send(request.body(full("\0\0\0\0\0")).unwrap()).await;
    assert_eq!(reply.status, 503);
    assert!(!reply.header("content-type").unwrap_or_default().starts_with("application/grpc"));
}
