//! Client certificates: which authorities a host trusts, and who may pass. Holds for the whole host.
use std::sync::Arc;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};
use table::Resolved;

use crate::annotation::{Key, OnError, Reader, Row, Support, boolean};
use crate::{Data, Keys, Pattern, Template};

const fn row(name: &'static str, sentence: &'static str, default: &'static str, example: &'static str) -> Row {
    Row { name, sentence, default, example, support: Support::Honoured }
}

const SECRET: Key<String> = Key {
    row: row(
        "auth-tls-secret",
        "Asks clients of the host for a certificate of the authorities in this Secret, `name` or `namespace/name`: keys `ca.crt` and `ca.crl`.",
        "no client is asked",
        "default/authorities",
    ),
    parse: |text| Ok(text.to_owned()),
    on_error: OnError::Close,
};

const VERIFY: Key<Option<Mode>> = Key {
    row: row(
        "auth-tls-verify-client",
        "Who may pass: `on`, only with a valid certificate; `optional`, also without one; `optional_no_ca`, also with one of other authorities; `off`, all.",
        "on",
        "optional",
    ),
    parse: |text| match text {
        "on" => Ok(Some(Mode::On)),
        "optional" => Ok(Some(Mode::Optional)),
        "optional_no_ca" => Ok(Some(Mode::OptionalNoCa)),
        "off" => Ok(None),
        _ => Err("is none of on, off, optional and optional_no_ca".to_owned()),
    },
    on_error: OnError::Default,
};

const DEPTH: Key<usize> = Key {
    row: row(
        "auth-tls-verify-depth",
        "Certificates between a client's and the authority's that is its own issuer, at most. More than six never pass.",
        "1",
        "2",
    ),
    parse: |text| match text.parse() {
        Ok(depth @ 0..=100) => Ok(depth),
        _ => Err("is not a whole number from 0 to 100".to_owned()),
    },
    on_error: OnError::Default,
};

const ERROR_PAGE: Key<Option<Template>> = Key {
    row: row(
        "auth-tls-error-page",
        "Where a client goes, with 302, whose certificate is missing or not valid.",
        "the answer is 400",
        "https://example.com/certificates",
    ),
    parse: |text| {
        if text.starts_with('@')
            && text.bytes().skip(1).all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        {
            return Ok(None);
        }
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/,?&=$%".contains(&byte);
        let is_url = ["http://", "https://", "/"].iter().any(|begin| text.starts_with(begin));
        if is_url && text.len() <= 4096 && text.bytes().all(allowed) {
            Template::parse(text).map(Some)
        } else {
            Err("is neither a URL nor @name".to_owned())
        }
    },
    on_error: OnError::Reject,
};

const FORWARD: Key<bool> = Key {
    row: row(
        "auth-tls-pass-certificate-to-upstream",
        "Sends the client's certificate to the endpoint, as PEM in the field ssl-client-cert, percent-encoded.",
        "false",
        "true",
    ),
    parse: boolean,
    on_error: OnError::Default,
};

const MATCH: Key<Pattern> = Key {
    row: row(
        "auth-tls-match-cn",
        "Answers 403 unless this regular expression, which begins with `CN=`, is found in the subject of the certificate.",
        "every subject",
        "CN=client-.*",
    ),
    parse: |text| {
        if text.starts_with("CN=") && !text.chars().any(char::is_control) {
            Pattern::new(text, false)
        } else {
            Err("does not begin with CN=".to_owned())
        }
    },
    on_error: OnError::Reject,
};

/// Annotations of this module.
pub(crate) const KEYS: Keys = &[&SECRET, &VERIFY, &DEPTH, &ERROR_PAGE, &FORWARD, &MATCH];

/// Who may pass. The greater, the stricter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// Everybody, with any certificate or none; one that is not valid for another reason than its authority may not.
    OptionalNoCa,
    /// Whoever shows no certificate, or a valid one.
    Optional,
    /// Whoever shows a valid certificate.
    On,
    /// Nobody: what the Ingress asks for cannot be understood.
    Closed,
}

/// What a host asks of its clients.
#[derive(Debug)]
pub struct ClientAuth {
    /// Who may pass.
    pub mode: Mode,
    /// Certificates that may lie between a client's and an authority's.
    pub depth: usize,
    /// Certificates of authorities.
    pub authorities: Box<[CertificateDer<'static>]>,
    /// Lists of revoked certificates.
    pub revoked: Box<[CertificateRevocationListDer<'static>]>,
    /// Where to send who may not pass.
    pub error_page: Option<Template>,
    /// Does the endpoint get the certificate?
    pub forward: bool,
    /// What must be found in the subject.
    pub subject: Option<Pattern>,
    /// What the data plane made of it.
    pub resolved: Resolved,
}

impl PartialEq for ClientAuth {
    fn eq(&self, other: &Self) -> bool {
        let parts = |auth: &Self| (auth.mode, auth.depth, auth.forward);
        parts(self) == parts(other)
            && self.authorities == other.authorities
            && self.revoked == other.revoked
            && self.error_page == other.error_page
            && self.subject == other.subject
    }
}

impl Eq for ClientAuth {}

/// A certificate that a client has shown, and proved to have the key of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Valid {
    /// It is valid.
    Yes,
    /// It is of an authority that the host does not trust.
    UnknownAuthority,
    /// It is not: expired, revoked, for other uses, ...
    No,
}

/// Why a client may not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It has shown no certificate, or one that is not valid: 400, or the error page.
    Certificate,
    /// Its subject is not the right one, or nobody may: 403.
    Forbidden,
}

impl ClientAuth {
    /// May a client pass that has shown this, with this subject?
    ///
    /// # Errors
    /// Why it may not.
    pub fn check(&self, shown: Option<(Valid, &str)>) -> Result<(), Refusal> {
        match (self.mode, shown.map(|(valid, _)| valid)) {
            (Mode::Closed, _) => return Err(Refusal::Forbidden),
            (Mode::On, None) | (_, Some(Valid::No)) => return Err(Refusal::Certificate),
            (Mode::On | Mode::Optional, Some(Valid::UnknownAuthority)) => return Err(Refusal::Certificate),
            (Mode::Optional | Mode::OptionalNoCa, None) | (_, Some(Valid::Yes)) => {}
            (Mode::OptionalNoCa, Some(Valid::UnknownAuthority)) => {}
        }
        let subject = shown.map_or("", |(_, subject)| subject);
        match &self.subject {
            Some(pattern) if !pattern.regex().is_match(subject) => Err(Refusal::Forbidden),
            _ => Ok(()),
        }
    }
}

/// What the host is asked to ask, if anything.
pub(crate) fn read(reader: &mut Reader<'_>) -> Option<Arc<ClientAuth>> {
    let verify = reader.take(&VERIFY).unwrap_or(Some(Mode::On));
    let depth = reader.take(&DEPTH).filter(|depth| *depth > 0).unwrap_or(1);
    let error_page = reader.take(&ERROR_PAGE);
    if error_page == Some(None) {
        let message = "names a location of nginx, which only a snippet could define, so the answer is 400; write a URL";
        reader.report(ERROR_PAGE.row.name, message.to_owned(), OnError::Default);
    }
    let error_page = error_page.flatten();
    let forward = reader.take(&FORWARD).unwrap_or(false);
    let subject = reader.take(&MATCH);
    let secret = reader.take(&SECRET)?;
    let mode = verify?;
    let read = reader.objects().secret(&secret).and_then(|data| authorities(&data, &secret));
    let (mode, authorities, revoked) = match read {
        Ok((authorities, revoked)) => (mode, authorities, revoked),
        Err(why) => {
            let message = format!("cannot be used: {why}; until then its hosts answer 403");
            reader.report(SECRET.row.name, message, OnError::Close);
            (Mode::Closed, Vec::new(), Vec::new())
        }
    };
    Some(Arc::new(ClientAuth {
        mode,
        depth,
        authorities: authorities.into(),
        revoked: revoked.into(),
        error_page,
        forward,
        subject,
        resolved: Resolved::default(),
    }))
}

type Authorities = (Vec<CertificateDer<'static>>, Vec<CertificateRevocationListDer<'static>>);

fn authorities(data: &Data, secret: &str) -> Result<Authorities, String> {
    let broken = |key: &str| format!("key {key} of Secret {secret:.300} is not PEM; correct it");
    let pem = data.get("ca.crt").ok_or_else(|| format!("Secret {secret:.300} has no key ca.crt; add it"))?;
    let authorities: Vec<_> =
        CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|_| broken("ca.crt"))?;
    if authorities.is_empty() {
        return Err(format!("key ca.crt of Secret {secret:.300} holds no certificate; add one"));
    }
    let revoked = match data.get("ca.crl") {
        None => Vec::new(),
        Some(pem) => {
            let lists: Vec<_> = CertificateRevocationListDer::pem_slice_iter(pem)
                .collect::<Result<_, _>>()
                .map_err(|_| broken("ca.crl"))?;
            // A list that cannot be read would revoke nothing.
            if lists.is_empty() {
                return Err(broken("ca.crl"));
            }
            lists
        }
    };
    Ok((authorities, revoked))
}

/// Of what several Ingresses ask of the clients of one host, in the order of their seniority, the strictest holds; of equals
/// the first.
pub(crate) fn strictest<'a>(wants: impl Iterator<Item = &'a Arc<ClientAuth>>) -> Option<&'a Arc<ClientAuth>> {
    wants.reduce(|first, next| if next.mode > first.mode { next } else { first })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Objects;
    use crate::annotation::Config;
    use table::ClusterId;

    const CA: &str = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";

    #[derive(Debug)]
    struct Secrets;

    impl Objects for Secrets {
        fn secret(&self, reference: &str) -> Result<Data, String> {
            let entry = |key: &str, value: &str| (key.to_owned(), value.as_bytes().to_vec());
            match reference {
                "ns/ca" => Ok([entry("ca.crt", CA)].into()),
                "ns/other" => Ok([entry("tls.crt", CA)].into()),
                "ns/empty" => Ok([entry("ca.crt", "")].into()),
                "ns/list" => Ok([entry("ca.crt", CA), entry("ca.crl", "x")].into()),
                _ => Err(format!("Secret {reference} does not exist; create it")),
            }
        }

        fn config_map(&self, _: &str) -> Result<Data, String> {
            Err(String::new())
        }

        fn service(&self, _: &str) -> Result<ClusterId, String> {
            Err(String::new())
        }
    }

    fn read(annotations: &[(&'static str, &'static str)]) -> (Option<Arc<ClientAuth>>, Option<OnError>) {
        let config = Config::default();
        let mut reader = Reader::new(annotations.iter().copied(), &config, &Secrets);
        let auth = super::read(&mut reader);
        (auth, reader.finish().into_iter().map(|problem| problem.effect).max())
    }

    fn auth(mode: &'static str) -> Arc<ClientAuth> {
        read(&[("auth-tls-secret", "ns/ca"), ("auth-tls-verify-client", mode)]).0.unwrap()
    }

    #[test]
    fn who_may_pass() {
        let shown = [None, Some(Valid::Yes), Some(Valid::UnknownAuthority), Some(Valid::No)];
        for (mode, want) in [
            ("on", [false, true, false, false]),
            ("nonsense", [false, true, false, false]),
            ("optional", [true, true, false, false]),
            ("optional_no_ca", [true, true, true, false]),
        ] {
            let auth = auth(mode);
            let passes = shown.map(|valid| auth.check(valid.map(|valid| (valid, "CN=a"))).is_ok());
            assert_eq!(passes, want, "{mode}");
        }
        assert!(read(&[("auth-tls-secret", "ns/ca"), ("auth-tls-verify-client", "off")]).0.is_none());
    }

    #[test]
    fn the_subject_is_searched() {
        let auth = read(&[("auth-tls-secret", "ns/ca"), ("auth-tls-match-cn", "CN=(ann|bob)")]).0.unwrap();
        assert_eq!(auth.check(Some((Valid::Yes, "CN=ann,O=x"))), Ok(()));
        assert_eq!(auth.check(Some((Valid::Yes, "CN=eve,O=x"))), Err(Refusal::Forbidden));
    }

    #[test]
    fn a_secret_that_cannot_be_used_lets_nobody_pass() {
        for secret in ["ns/missing", "ns/other", "ns/empty", "ns/list", "$x", "\u{0}"] {
            let (auth, problem) = read(&[("auth-tls-secret", secret)]);
            assert_eq!((auth.unwrap().mode, problem), (Mode::Closed, Some(OnError::Close)), "{secret}");
        }
    }

    #[test]
    fn malformed_values_never_open() {
        for (name, value) in [
            ("auth-tls-match-cn", "ann"),
            ("auth-tls-match-cn", "CN=("),
            ("auth-tls-match-cn", "CN=(a{1000}){1000}"),
            ("auth-tls-match-cn", "CN=a\nb"),
            ("auth-tls-error-page", "javascript:x"),
            ("auth-tls-error-page", "https://a/\"}"),
            ("auth-tls-error-page", "https://a/$lua"),
        ] {
            assert_eq!(
                read(&[("auth-tls-secret", "ns/ca"), (name, value)]).1,
                Some(OnError::Reject),
                "{name}: {value}"
            );
        }
        for value in ["-1", "x", "1000"] {
            assert_eq!(read(&[("auth-tls-secret", "ns/ca"), ("auth-tls-verify-depth", value)]).0.unwrap().depth, 1);
        }
    }

    #[test]
    fn a_page_that_only_a_snippet_could_define_is_told() {
        let (auth, problem) = read(&[("auth-tls-secret", "ns/ca"), ("auth-tls-error-page", "@denied")]);
        assert!(auth.unwrap().error_page.is_none() && problem == Some(OnError::Default));
    }

    #[test]
    fn the_strictest_holds_and_of_equals_the_first() {
        let (optional, on, also_on) = (auth("optional"), auth("on"), auth("on"));
        let chosen = strictest([&optional, &on, &also_on].into_iter()).unwrap();
        assert!(Arc::ptr_eq(chosen, &on));
        assert_eq!(strictest(std::iter::empty()), None);
    }
}
