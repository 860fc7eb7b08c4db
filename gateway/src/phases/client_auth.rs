//! Whether a client's certificate lets it pass to a host.
use std::sync::Arc;

use features::{ClientAuth, Refusal, Route};
use pingora_proxy::Session;
use table::{RequestHost, Table};

use crate::connection::Client;

/// What came of a host's settings.
pub(crate) enum Checked {
    /// The host asks for no certificate.
    NotAsked,
    /// The client may pass.
    Passed,
    /// The client speaks plain text, and can show nothing: it may only be redirected.
    PlainText,
    /// The handshake was for another host.
    Misdirected,
    /// The client may not pass.
    Refused(Arc<ClientAuth>, Refusal),
}

/// Checks a request for a canonical host. What was shown in the handshake only counts for the host that it was shown to.
pub(crate) fn check(table: &Table<Route>, session: &Session, host: &str) -> Checked {
    let asked = table.settings_of(host).and_then(|settings| settings.client_auth.as_ref());
    let Some(settings) = asked else { return Checked::NotAsked };
    let Some(client) = Client::of(session.digest()) else { return Checked::PlainText };
    let Some(tls) = &client.tls else { return Checked::PlainText };
    let named = tls.sni.as_ref().and_then(|name| RequestHost::parse(name.as_bytes()).ok());
    if table.deciding(named.as_ref().map_or("", RequestHost::as_str)) != table.deciding(host) {
        return Checked::Misdirected;
    }
    // What was judged by other settings, or never was, counts as not shown: the next handshake will tell.
    let shown = client.shown.as_ref().filter(|shown| shown.settings == *settings);
    match settings.check(shown.and_then(|shown| shown.certificate())) {
        Ok(()) => Checked::Passed,
        Err(refusal) => Checked::Refused(settings.clone(), refusal),
    }
}
