//! Subject and issuer of a certificate as text, and the certificate itself as a field value.
use std::fmt::Write;

use http::HeaderValue;
use rustls_pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, X509Certificate, X509Name};

/// Subject and issuer as RFC 2253 writes them, the last part first, as nginx does.
pub(super) fn of(certificate: &CertificateDer<'_>) -> Option<(String, String)> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    Some((text(parsed.subject()), text(parsed.issuer())))
}

fn text(name: &X509Name<'_>) -> String {
    let parts: Vec<_> = name.iter_rdn().collect();
    let mut out = String::new();
    for part in parts.into_iter().rev() {
        for (index, attribute) in part.iter().enumerate() {
            if !out.is_empty() {
                out.push(if index == 0 { ',' } else { '+' });
            }
            let oid = attribute.attr_type();
            match x509_parser::objects::oid2abbrev(oid, x509_parser::objects::oid_registry()) {
                Ok(short) => out.push_str(short),
                Err(_) => out.push_str(&oid.to_id_string()),
            }
            out.push('=');
            escape(attribute.as_str().unwrap_or_default(), &mut out);
        }
    }
    out
}

/// RFC 2253 section 2.4; what is not ASCII, or a control character, is written as bytes in hexadecimal.
fn escape(value: &str, out: &mut String) {
    let last = value.len().saturating_sub(1);
    for (index, byte) in value.bytes().enumerate() {
        match byte {
            b',' | b'+' | b'"' | b'\\' | b'<' | b'>' | b';' => {
                out.push('\\');
                out.push(char::from(byte));
            }
            b'#' if index == 0 => out.push_str("\\#"),
            b' ' if index == 0 || index == last => out.push_str("\\ "),
            0x20..=0x7e => out.push(char::from(byte)),
            _ => {
                // Writing to a String cannot fail.
                write!(out, "\\{byte:02X}").ok();
            }
        }
    }
}

/// PEM, percent-encoded as nginx's `$ssl_client_escaped_cert` is.
pub(super) fn pem(certificate: &CertificateDer<'_>) -> HeaderValue {
    let encoded = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, certificate);
    let mut text = String::from("-----BEGIN%20CERTIFICATE-----%0A");
    for (index, byte) in encoded.bytes().enumerate() {
        if index > 0 && index % 64 == 0 {
            text.push_str("%0A");
        }
        match byte {
            b'+' => text.push_str("%2B"),
            b'/' => text.push_str("%2F"),
            b'=' => text.push_str("%3D"),
            _ => text.push(char::from(byte)),
        }
    }
    text.push_str("%0A-----END%20CERTIFICATE-----%0A");
    HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, KeyPair};

    fn certificate(name: &str) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "Acme, Inc.");
        params.distinguished_name.push(DnType::CommonName, name);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    #[test]
    fn names_are_written_from_the_last_part_and_cannot_break_out() {
        let name = |common| of(&certificate(common)).unwrap().0;
        assert_eq!(name("ann"), "CN=ann,O=Acme\\, Inc.");
        assert_eq!(name("x,CN=admin"), "CN=x\\,CN=admin,O=Acme\\, Inc.");
        assert_eq!(name("a\r\nb\u{e9}"), "CN=a\\0D\\0Ab\\C3\\A9,O=Acme\\, Inc.");
    }

    #[test]
    fn the_certificate_is_one_line() {
        let value = pem(&certificate("ann"));
        let text = value.to_str().unwrap();
        assert!(
            text.starts_with("-----BEGIN%20CERTIFICATE-----%0AMII")
                && text.ends_with("%0A-----END%20CERTIFICATE-----%0A")
        );
        assert!(!text.contains(['+', '/', '=', '\n']));
    }
}
