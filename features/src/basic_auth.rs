//! HTTP Basic authentication (RFC 7617) against the users of a Secret.
use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, header};

use crate::annotation::{Key, OnError, Reader, Row, Support};
use crate::password::{PasswordCheck, Hash};
use crate::{Answer, Ask, Data, Edits, Feature, Keys, Reply, Request, RuleFacts, Verdict, satisfy};

const TYPE: Key<Scheme> = Key {
    row: Row {
        name: "auth-type",
        sentence: "Asks clients for a user and a password: `basic`.",
        default: "nobody is asked",
        example: "basic",
        support: Support::Approximated("`digest` is not supported: its Ingress is closed."),
    },
    parse: |text| match text {
        "basic" => Ok(Scheme::Basic),
        "digest" => Ok(Scheme::Digest),
        _ => Err("is neither basic nor digest".to_owned()),
    },
    on_error: OnError::Reject,
};

const SECRET: Key<String> = Key {
    row: Row {
        name: "auth-secret",
        sentence: "The Secret with the users, `name` or `namespace/name`.",
        default: "none",
        example: "users",
        support: Support::Honoured,
    },
    parse: |text| Ok(text.to_owned()),
    on_error: OnError::Close,
};

const SECRET_TYPE: Key<Form> = Key {
    row: Row {
        name: "auth-secret-type",
        sentence: "How the Secret holds users: `auth-file`, an htpasswd file in the key `auth`, or `auth-map`, one key a user.",
        default: "auth-file",
        example: "auth-map",
        support: Support::Approximated("Passwords in the DES form of crypt are not accepted."),
    },
    parse: |text| match text {
        "auth-file" => Ok(Form::File),
        "auth-map" => Ok(Form::Map),
        _ => Err("is neither auth-file nor auth-map".to_owned()),
    },
    on_error: OnError::Close,
};

const REALM: Key<String> = Key {
    row: Row {
        name: "auth-realm",
        sentence: "The realm that clients are told: letters, digits, spaces and `-._~/,`.",
        default: "empty",
        example: "Members only",
        support: Support::Honoured,
    },
    parse: |text| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b" -._~/,".contains(&byte);
        if text.bytes().all(allowed) && text.len() <= 1024 {
            Ok(text.to_owned())
        } else {
            Err("has characters other than letters, digits, spaces and -._~/, or is too long".to_owned())
        }
    },
    on_error: OnError::Reject,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Basic,
    Digest,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    File,
    Map,
}

/// Who may pass with which password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BasicAuth {
    users: Arc<BTreeMap<Box<str>, Arc<Hash>>>,
    challenge: HeaderValue,
    any: bool,
}

impl Feature for BasicAuth {
    const KEYS: Keys = &[&TYPE, &SECRET, &SECRET_TYPE, &REALM];

    fn read(reader: &mut Reader<'_>, _: &RuleFacts) -> Option<Self> {
        let asked = reader.has(TYPE.row.name);
        let kind = reader.take(&TYPE);
        let secret = reader.take(&SECRET);
        let form = reader.take(&SECRET_TYPE).unwrap_or(Form::File);
        let realm = reader.take(&REALM).unwrap_or_default();
        if !asked {
            if secret.is_some() {
                let message = "has no effect without auth-type: nobody is asked for a password; add auth-type: basic";
                reader.report(SECRET.row.name, message.to_owned(), OnError::Default);
            }
            return None;
        }
        if kind? == Scheme::Digest {
            let message = "asks for digest authentication, which is not supported, so the paths of this Ingress answer 503; use basic over TLS";
            reader.close(TYPE.row.name, message);
            return None;
        }
        let Some(secret) = secret else {
            let message = "is there without auth-secret, which names the users, so the paths of this Ingress answer 503; add it";
            reader.report(TYPE.row.name, message.to_owned(), OnError::Close);
            return None;
        };
        let users = reader.objects().secret(&secret).and_then(|data| users(&data, form, &secret));
        let (users, unusable) = match users {
            Ok(read) => read,
            Err(why) => {
                reader.report(SECRET.row.name, format!("cannot be used: {why}; until then the paths of this Ingress answer 503"), OnError::Close);
                return None;
            }
        };
        for why in unusable {
            reader.report(SECRET.row.name, why, OnError::Default);
        }
        let any = satisfy::any(reader);
        let challenge = HeaderValue::from_str(&format!("Basic realm=\"{realm}\"")).ok()?;
        Some(Self { users: Arc::new(users), challenge, any })
    }

    fn on_request(&self, request: &Request<'_>, edits: &mut Edits) -> Verdict {
        // The endpoint gets no password, whoever passed.
        edits.upstream_fields.push((header::AUTHORIZATION, None));
        if edits.satisfied {
            return Verdict::Continue;
        }
        let Some((user, password)) = request.headers.get(header::AUTHORIZATION).and_then(credentials) else {
            return self.refuse(edits, "password_missing");
        };
        match self.check(&user, &password) {
            None => self.refuse(edits, "password_wrong"),
            Some(check) => Verdict::Ask(Box::new(Ask::Password(check))),
        }
    }

    fn on_reply(&self, _: &Request<'_>, edits: &mut Edits, reply: &Reply) -> Verdict {
        match reply {
            Reply::Password(true) => satisfy::passed(self.any, edits),
            Reply::Password(false) => self.refuse(edits, "password_wrong"),
            Reply::Response(..) | Reply::Nothing => Verdict::status(503, "password_unchecked"),
        }
    }
}

impl BasicAuth {
    /// An unknown user is checked against somebody's password, so that it takes as long.
    fn check(&self, user: &[u8], password: &[u8]) -> Option<PasswordCheck> {
        let known = std::str::from_utf8(user).ok().and_then(|user| self.users.get(user));
        let slowest = || self.users.values().find(|hash| hash.is_slow()).or_else(|| self.users.values().next());
        let hash = known.or_else(slowest)?;
        Some(PasswordCheck::new(hash.clone(), password, known.is_some()))
    }

    fn refuse(&self, edits: &mut Edits, reason: &'static str) -> Verdict {
        let fields = vec![(header::WWW_AUTHENTICATE, self.challenge.clone())];
        satisfy::denied(self.any, edits, Answer { status: 401, fields, body: None, reason })
    }
}

/// User and password of an Authorization field.
fn credentials(field: &HeaderValue) -> Option<(Vec<u8>, Vec<u8>)> {
    let (scheme, rest) = field.as_bytes().split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let mut user = STANDARD.decode(rest.trim_ascii()).ok()?;
    let colon = user.iter().position(|byte| *byte == b':')?;
    let password = user.split_off(colon + 1);
    user.pop();
    Some((user, password))
}

type Users = BTreeMap<Box<str>, Arc<Hash>>;

/// The users of a Secret, and what is wrong with some. Of several lines of a name the first counts.
fn users(data: &Data, form: Form, secret: &str) -> Result<(Users, Vec<String>), String> {
    let mut users = Users::new();
    let mut unusable = Vec::new();
    let mut add = |name: &str, stored: &str, place: String| match Hash::parse(stored) {
        Ok(hash) => {
            users.entry(name.into()).or_insert_with(|| Arc::new(hash));
        }
        Err(why) => unusable.push(format!("names a Secret in which the password of {place} {why}; that user cannot pass")),
    };
    match form {
        Form::Map => {
            for (name, stored) in data {
                add(name, String::from_utf8_lossy(stored).trim(), format!("key {name:.64}"));
            }
        }
        Form::File => {
            let file = data.get("auth").ok_or_else(|| format!("Secret {secret:.300} has no key auth; add it with the users"))?;
            for (number, line) in String::from_utf8_lossy(file).lines().enumerate() {
                let Some((name, rest)) = line.trim().split_once(':').filter(|(name, _)| !name.starts_with('#')) else { continue };
                // A second colon ends the password, as nginx reads it.
                let stored = if rest.starts_with("{PLAIN}") { rest } else { rest.split(':').next().unwrap_or_default() };
                add(name, stored, format!("line {}", number + 1));
            }
        }
    }
    if users.is_empty() && unusable.is_empty() {
        unusable.push("names a Secret without users, so that nobody can pass".to_owned());
    }
    Ok((users, unusable))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::annotation::Config;
    use crate::{Labels, Objects};
    use http::HeaderMap;
    use table::ClusterId;

    #[derive(Debug)]
    struct OneSecret(&'static str, &'static str);

    impl Objects for OneSecret {
        fn secret(&self, reference: &str) -> Result<Data, String> {
            match reference {
                "users" => Ok([(self.0.to_owned(), self.1.into())].into()),
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

    const FILE: OneSecret = OneSecret("auth", "# users\nann:{PLAIN}one\nann:{PLAIN}two\n bob:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=:comment\n");

    type Read = (Option<BasicAuth>, Vec<(OnError, String)>);

    fn read(objects: &OneSecret, annotations: &[(&'static str, &'static str)]) -> Read {
        let config = Config::default();
        let mut reader = Reader::new(annotations.iter().copied(), &config, objects);
        let feature = BasicAuth::read(&mut reader, &RuleFacts::default());
        (feature, reader.finish().into_iter().map(|problem| (problem.effect, problem.message)).collect())
    }

    const ASKED: &[(&str, &str)] = &[("auth-type", "basic"), ("auth-secret", "users"), ("auth-realm", "here")];

    /// The status, once the password was checked.
    fn status(feature: &BasicAuth, authorization: Option<&str>) -> Option<u16> {
        let mut headers = HeaderMap::new();
        if let Some(value) = authorization {
            headers.insert(header::AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        }
        let labels = Labels::default();
        let request = crate::request::tests::plain(&headers, &labels);
        let mut edits = Edits::default();
        let mut verdict = feature.on_request(&request, &mut edits);
        assert!(edits.upstream_fields.contains(&(header::AUTHORIZATION, None)));
        if let Verdict::Ask(ask) = &verdict {
            let Ask::Password(check) = &**ask else { panic!("another question") };
            verdict = feature.on_reply(&request, &mut edits, &Reply::Password(check.passes()));
        }
        match verdict {
            Verdict::Answer(answer) => {
                assert_eq!(answer.fields, [(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"here\""))]);
                Some(answer.status)
            }
            Verdict::Continue => None,
            Verdict::Ask(_) => panic!("asks again"),
        }
    }

    fn basic(credentials: &str) -> String {
        format!("Basic {}", STANDARD.encode(credentials))
    }

    #[test]
    fn users_of_a_file_pass_with_their_passwords() {
        let feature = read(&FILE, ASKED).0.unwrap();
        for (credentials, want) in [
            ("ann:one", None),
            ("ann:two", Some(401)),
            ("ann:", Some(401)),
            ("bob:secret", None),
            ("bob:secret:", Some(401)),
            ("eve:one", Some(401)),
            ("ann", Some(401)),
            (":one", Some(401)),
        ] {
            assert_eq!(status(&feature, Some(&basic(credentials))), want, "{credentials}");
        }
    }

    #[test]
    fn what_is_no_basic_credential_is_refused() {
        let feature = read(&FILE, ASKED).0.unwrap();
        assert_eq!(status(&feature, None), Some(401));
        for value in ["Bearer x", "Basic", "Basic ", "Basic !!!", "Basicx", "basic"] {
            assert_eq!(status(&feature, Some(value)), Some(401), "{value}");
        }
        assert_eq!(status(&feature, Some(&basic("ann:one").replace("Basic", "bAsIc"))), None);
    }

    #[test]
    fn users_of_a_map_have_one_key_each() {
        let map = OneSecret("ann", "{PLAIN}one\n");
        let feature = read(&map, &[ASKED, &[("auth-secret-type", "auth-map")]].concat()).0.unwrap();
        assert_eq!(status(&feature, Some(&basic("ann:one"))), None);
    }

    #[test]
    fn a_secret_that_is_missing_or_has_no_users_key_closes() {
        let annotations: &[_] = &[("auth-type", "basic"), ("auth-secret", "nobody")];
        for (objects, annotations) in [(&FILE, annotations), (&OneSecret("other", ""), ASKED), (&FILE, &ASKED[..1])] {
            let (feature, problems) = read(objects, annotations);
            assert_eq!(feature, None);
            assert!(problems.iter().any(|(effect, _)| *effect == OnError::Close), "{problems:?}");
        }
    }

    #[test]
    fn a_password_that_cannot_be_used_keeps_its_user_out_and_is_never_told() {
        let file = OneSecret("auth", "ann:{PLAIN}one\nbob:abJnggxhB/yWI");
        let (feature, problems) = read(&file, ASKED);
        assert_eq!(status(&feature.unwrap(), Some(&basic("bob:secret"))), Some(401));
        assert!(problems[0].1.contains("line 2") && !problems[0].1.contains("abJn"), "{problems:?}");
    }

    #[test]
    fn malformed_values_never_open() {
        for (name, value, want) in [
            ("auth-type", "digest", OnError::Close),
            ("auth-type", "Basic", OnError::Reject),
            ("auth-type", "basic\n", OnError::Default),
            ("auth-realm", "a\"b", OnError::Reject),
            ("auth-realm", "a\nb", OnError::Reject),
            ("auth-realm", "${x}", OnError::Reject),
            ("auth-realm", "é", OnError::Reject),
            ("auth-secret-type", "file", OnError::Close),
        ] {
            let mut annotations: Vec<_> = ASKED.iter().copied().filter(|(other, _)| *other != name).collect();
            annotations.push((name, value));
            let (feature, problems) = read(&FILE, &annotations);
            let worst = problems.iter().map(|(effect, _)| *effect).max().unwrap_or(OnError::Default);
            assert_eq!(worst, want, "{name}: {value}");
            assert!(feature.is_some() || worst > OnError::Default, "{name}: {value}");
        }
    }

    #[test]
    fn a_realm_named_off_does_not_turn_it_off() {
        let annotations = [("auth-type", "basic"), ("auth-secret", "users"), ("auth-realm", "off")];
        assert!(read(&FILE, &annotations).0.is_some());
    }

    #[test]
    fn without_a_type_nobody_is_asked_and_that_is_told() {
        let (feature, problems) = read(&FILE, &[("auth-secret", "users")]);
        assert_eq!((feature, problems.len()), (None, 1));
    }
}
