//! The validating webhook over TLS: who is answered, and what.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[path = "common/api.rs"]
mod api;
mod common;

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;

use api::Api;
use common::{Plane, ingress, service};
use controller::{Cluster, Duties, Setup, Source, Webhook};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::PrivateKeyDer;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use translate::Options;

/// An authority, its files, and a webhook that trusts it.
struct Site {
    address: SocketAddr,
    authority: CertifiedIssuer<'static, KeyPair>,
    _folder: tempfile::TempDir,
    _plane: Plane,
    _api: Api,
}

async fn site() -> Site {
    let api = Api::start().await;
    api.set("ingresses", ingress("first", "a.test", "app").trim_end_matches("---\n"));
    api.set("services", service("app").trim_end_matches("---\n"));
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| -> PathBuf {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let key = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
    // Free a moment ago; nobody else asks for ports in order.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let webhook = Webhook {
        address,
        certificate: file("tls.crt", &certificate.pem()),
        key: file("tls.key", &key.serialize_pem()),
        client_ca: Some(file("ca.crt", &authority.pem())),
    };
    let kubeconfig = api.kubeconfig();
    let cluster = Cluster { kubeconfig: Some(kubeconfig.path().to_owned()), ..Cluster::default() };
    let options = Options { watch_ingress_without_class: true, ..Options::default() };
    let duties = Duties::default();
    let setup = Setup { source: Source::Cluster(cluster), options, duties, state: None, webhook: Some(webhook) };
    let (sender, updates) = mpsc::channel(4);
    drop(tokio::task::spawn_blocking(move || controller::start(setup, sender)).await.unwrap().unwrap());
    let mut plane = Plane::new(updates);
    plane.next().await;
    Site { address, authority, _folder: folder, _plane: plane, _api: api }
}

impl Site {
    /// A client with a certificate of the authority, or without one.
    fn client(&self, is_known: bool) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let builder = builder.with_root_certificates(roots);
        if !is_known {
            return builder.with_no_client_auth();
        }
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec!["api-server".to_owned()]).unwrap();
        let certificate = certificate.signed_by(&key, &self.authority).unwrap();
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        builder.with_client_auth_cert(vec![certificate.der().clone()], key).unwrap()
    }

    /// Posts a body; nothing when the connection is refused.
    async fn post(&self, client: ClientConfig, body: Vec<u8>) -> Option<(u16, Value)> {
        let tcp = tokio::net::TcpStream::connect(self.address).await.unwrap();
        let connector = tokio_rustls::TlsConnector::from(Arc::new(client));
        let tls = connector.connect("localhost".try_into().unwrap(), tcp).await.ok()?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(tls)).await.ok()?;
        tokio::spawn(connection);
        let request = hyper::Request::post("/").header("host", "localhost").body(Full::new(Bytes::from(body))).unwrap();
        let response = sender.send_request(request).await.ok()?;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.ok()?.to_bytes();
        Some((status, serde_json::from_slice(&body).unwrap_or_default()))
    }
}

fn review(host: &str, path: &str) -> Vec<u8> {
    let backend = json!({"service": {"name": "app", "port": {"number": 80}}});
    let paths = json!([{"path": path, "pathType": "Prefix", "backend": backend}]);
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "u", "kind": {"group": "networking.k8s.io", "version": "v1", "kind": "Ingress"}, "operation": "CREATE",
        "namespace": "default", "name": "b", "object": {
            "metadata": {"name": "b", "namespace": "default"}, "spec": {"rules": [{"host": host, "http": {"paths": paths}}]},
        },
    }})
    .to_string()
    .into_bytes()
}

#[tokio::test]
async fn an_api_server_is_told_errors_and_the_blast_radius() {
    let site = site().await;
    let (status, answer) = site.post(site.client(true), review("a.test", "/shop")).await.unwrap();
    assert_eq!((status, &answer["response"]["allowed"]), (200, &json!(true)), "{answer}");
    let want = json!("requests for a.test/shop, which Ingress default/first serves now, would go to Ingress default/b");
    assert!(answer["response"]["warnings"].as_array().unwrap().contains(&want), "{answer}");
    let (_, answer) = site.post(site.client(true), review("no host", "/")).await.unwrap();
    assert_eq!(answer["response"]["allowed"], json!(false), "{answer}");
}

#[tokio::test]
async fn strangers_and_large_bodies_are_refused() {
    let site = site().await;
    assert_eq!(site.post(site.client(false), review("a.test", "/")).await, None);
    let large = site.post(site.client(true), vec![b' '; 10 * 1024 * 1024]).await;
    assert!(large.is_none_or(|(status, _)| status == 413));
    let (status, _) = site.post(site.client(true), b"{}".to_vec()).await.unwrap();
    assert_eq!(status, 400);
}
