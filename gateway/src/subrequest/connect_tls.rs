//! TLS for requests of the gateway's own. As with nginx's `proxy_ssl_verify off`, which ingress-nginx uses for
//! authentication services, the connection is encrypted but the server's certificate is not checked.
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::crypto::aws_lc_rs;

use crate::signatures::Unchecked;

/// HTTP/1.1 over TLS 1.2 or 1.3.
pub(super) fn config() -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Unchecked::new(provider)))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
