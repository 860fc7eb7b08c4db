//! HTTPS for the webhook: one certificate, perhaps an authority for clients, small bodies, short patience.
use std::convert::Infallible;
use std::fs;
use std::io;
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::CONTENT_TYPE;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

use super::judge::Judge;
use super::{Webhook, review};
use crate::Error;
use crate::publish::unix_time;
use crate::start::runtime;

/// Largest body in bytes: an API server stores nothing larger than 3 MiB, and sends it twice with an update.
const MAX_BODY: usize = 9 * 1024 * 1024;
/// Connections at a time: API servers, and few of them.
const CONNECTIONS: usize = 64;
/// For a handshake, for a request's head, and for its body.
const PATIENCE: Duration = Duration::from_secs(10);

/// A webhook that listens.
pub(crate) struct Server {
    webhook: Webhook,
    listener: TcpListener,
    judge: Arc<Mutex<Judge>>,
    tls: Tls,
}

/// The certificate in use, and when its file was written.
struct Tls {
    config: Arc<ServerConfig>,
    written: Option<SystemTime>,
}

impl Server {
    /// Opens it.
    ///
    /// # Errors
    /// When the address cannot be listened at, or a file cannot be used.
    pub(crate) fn open(webhook: Webhook, judge: Judge) -> Result<Self, Error> {
        let tls = Tls { config: config(&webhook)?, written: written(&webhook.certificate) };
        let address = webhook.address;
        let listener = TcpListener::bind(address)
            .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
            .map_err(|error| {
                Error(format!("cannot listen on {address}: {error}; choose another address with --validating-webhook"))
            })?;
        Ok(Self { webhook, listener, judge: Arc::new(Mutex::new(judge)), tls })
    }

    /// Answers for ever.
    pub(crate) fn run(self) {
        let ended = runtime().and_then(|runtime| {
            runtime
                .block_on(self.serve())
                .map_err(|error| Error(format!("the webhook's listener cannot be used: {error}")))
        });
        if let Err(error) = ended {
            tracing::error!(%error, "the webhook has ended");
        }
    }

    async fn serve(mut self) -> io::Result<()> {
        let listener = tokio::net::TcpListener::from_std(self.listener.try_clone()?)?;
        let room = Arc::new(Semaphore::new(CONNECTIONS));
        tracing::info!(address = %self.webhook.address, "the validating webhook answers");
        loop {
            let Ok(permit) = room.clone().acquire_owned().await else { return Ok(()) };
            let tcp = match listener.accept().await {
                Ok((tcp, _)) => tcp,
                Err(error) => {
                    tracing::warn!(%error, "a connection to the webhook cannot be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            self.renew();
            let (acceptor, judge) = (TlsAcceptor::from(self.tls.config.clone()), self.judge.clone());
            tokio::spawn(async move {
                converse(tcp, acceptor, judge).await;
                drop(permit);
            });
        }
    }

    /// Uses a certificate that was renewed. One that cannot be used leaves the one before.
    fn renew(&mut self) {
        let now = written(&self.webhook.certificate);
        if now == self.tls.written {
            return;
        }
        self.tls.written = now;
        match config(&self.webhook) {
            Ok(config) => self.tls.config = config,
            Err(error) => tracing::error!(%error, "the webhook goes on with the certificate it had"),
        }
    }
}

fn written(file: &Path) -> Option<SystemTime> {
    fs::metadata(file).and_then(|meta| meta.modified()).ok()
}

fn config(webhook: &Webhook) -> Result<Arc<ServerConfig>, Error> {
    let chain = certificates(&webhook.certificate, "--validating-webhook-certificate")?;
    let key = PrivateKeyDer::from_pem_file(&webhook.key)
        .map_err(|error| unusable(&webhook.key, "--validating-webhook-key", &error))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(&webhook.certificate, "--validating-webhook-certificate", &error))?;
    let builder = match &webhook.client_ca {
        None => builder.with_no_client_auth(),
        Some(file) => {
            let flag = "--validating-webhook-client-ca";
            let mut roots = RootCertStore::empty();
            for certificate in certificates(file, flag)? {
                roots.add(certificate).map_err(|error| unusable(file, flag, &error))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.map_err(|error| unusable(file, flag, &error))?)
        }
    };
    let config = builder.with_single_cert(chain, key);
    config.map(Arc::new).map_err(|error| unusable(&webhook.certificate, "--validating-webhook-certificate", &error))
}

fn certificates(file: &Path, flag: &str) -> Result<Vec<CertificateDer<'static>>, Error> {
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let certificates = read.map_err(|error| unusable(file, flag, &error))?;
    if certificates.is_empty() {
        return Err(unusable(file, flag, &"it holds no certificate"));
    }
    Ok(certificates)
}

fn unusable(file: &Path, flag: &str, problem: &dyn std::fmt::Display) -> Error {
    Error(format!("{} cannot be used ({problem}); name a PEM file with {flag}", file.display()))
}

async fn converse(tcp: TcpStream, acceptor: TlsAcceptor, judge: Arc<Mutex<Judge>>) {
    let tls = match tokio::time::timeout(PATIENCE, acceptor.accept(tcp)).await {
        Ok(Ok(tls)) => tls,
        Ok(Err(error)) => return tracing::debug!(%error, "a client of the webhook is refused"),
        Err(_) => return,
    };
    let answer = service_fn(|request| {
        let judge = judge.clone();
        async move { Ok::<_, Infallible>(respond(request, &judge).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .serve_connection(TokioIo::new(tls), answer)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection to the webhook has ended");
    }
}

async fn respond(request: Request<Incoming>, judge: &Mutex<Judge>) -> Response<Full<Bytes>> {
    let begun = Instant::now();
    if request.method() != Method::POST {
        return text(StatusCode::METHOD_NOT_ALLOWED, "only POST of an AdmissionReview is allowed\n");
    }
    let body = Limited::new(request.into_body(), MAX_BODY).collect();
    let body = match tokio::time::timeout(PATIENCE, body).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(_)) => return text(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large, or broke off\n"),
        Err(_) => return text(StatusCode::REQUEST_TIMEOUT, "the body did not come in time\n"),
    };
    let question = match review::read(&body) {
        Ok(question) => question,
        Err(problem) => return text(StatusCode::BAD_REQUEST, &format!("{problem}\n")),
    };
    let verdict = question.change.map(|(object, ingress)| {
        let mut judge = judge.lock().unwrap_or_else(PoisonError::into_inner);
        judge.review(&object, ingress, unix_time(), begun)
    });
    let answer = review::answer(&question.uid, &verdict.unwrap_or_default());
    let mut response = text(StatusCode::OK, &answer.to_string());
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static("application/json"));
    response
}

fn text(status: StatusCode, body: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body.to_owned())));
    *response.status_mut() = status;
    response
}
