//! A server certificate with its key, as plain data.
use std::fmt;
use std::sync::Arc;

use crate::resolved::Resolved;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// A certificate chain and its private key, checked to belong together by whoever made it.
pub struct Certificate {
    /// Where it came from, `namespace/name` of the Secret.
    pub source: Arc<str>,
    /// The chain, leaf first.
    pub chain: Vec<CertificateDer<'static>>,
    /// The leaf's private key.
    pub key: PrivateKeyDer<'static>,
    /// End of the leaf's validity, seconds since the Unix epoch.
    pub not_after: i64,
    /// The leaf's serial number in hexadecimal.
    pub serial: Arc<str>,
    /// What the data plane made of it.
    pub resolved: Resolved,
}

/// The key never shows.
impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("source", &self.source)
            .field("not_after", &self.not_after)
            .field("serial", &self.serial)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_holds_no_key() {
        let key = PrivateKeyDer::try_from(vec![0x30, 0x01, 0x5a]);
        let Ok(key) = key.or_else(|_| Ok::<_, ()>(PrivateKeyDer::Pkcs8(vec![1, 2, 3].into()))) else { panic!() };
        let certificate = Certificate {
            source: "a/b".into(),
            chain: vec![],
            key,
            not_after: 1,
            serial: "00".into(),
            resolved: Resolved::default(),
        };
        assert_eq!(format!("{certificate:?}"), r#"Certificate { source: "a/b", not_after: 1, serial: "00", .. }"#);
    }
}
