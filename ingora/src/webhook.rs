//! Flags of the validating webhook.
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use controller::Webhook;

/// The validating webhook.
#[derive(Args, Debug)]
#[command(next_help_heading = "Validating webhook (off without an address)")]
pub(crate) struct WebhookArgs {
    /// Answer an API server that asks about Ingresses at this address, such as :8443
    #[arg(long, env = "INGORA_VALIDATING_WEBHOOK", value_name = "ADDRESS:PORT", value_parser = address,
          requires_all = ["validating_webhook_certificate", "validating_webhook_key"], conflicts_with = "manifests")]
    validating_webhook: Option<SocketAddr>,

    /// File with its certificate chain (PEM); read again when it changes
    #[arg(long, env = "INGORA_VALIDATING_WEBHOOK_CERTIFICATE", value_name = "FILE")]
    validating_webhook_certificate: Option<PathBuf>,

    /// File with its key (PEM)
    #[arg(long, env = "INGORA_VALIDATING_WEBHOOK_KEY", value_name = "FILE")]
    validating_webhook_key: Option<PathBuf>,

    /// Answer only clients with a certificate of an authority in this file (PEM)
    #[arg(long, env = "INGORA_VALIDATING_WEBHOOK_CLIENT_CA", value_name = "FILE")]
    validating_webhook_client_ca: Option<PathBuf>,
}

/// An address, whose host may be left out as ingress-nginx allows it.
fn address(text: &str) -> Result<SocketAddr, String> {
    let whole = if text.starts_with(':') { format!("[::]{text}") } else { text.to_owned() };
    whole.parse().map_err(|_| "write an IP address and a port, such as :8443 or 10.0.0.1:8443".to_owned())
}

impl WebhookArgs {
    /// Where it listens, if it does.
    pub(crate) fn webhook(&self) -> Option<Webhook> {
        Some(Webhook {
            address: self.validating_webhook?,
            certificate: self.validating_webhook_certificate.clone()?,
            key: self.validating_webhook_key.clone()?,
            client_ca: self.validating_webhook_client_ca.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_lack_its_host() {
        assert_eq!(address(":8443").unwrap().to_string(), "[::]:8443");
        assert_eq!(address("127.0.0.1:1").unwrap().to_string(), "127.0.0.1:1");
        assert!(address("8443").is_err() && address("host:1").is_err());
    }
}
