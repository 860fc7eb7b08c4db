//! Passwords: HTTP Basic authentication (RFC 7617), or Digest, against the users of a Secret.
use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderName, HeaderValue, header};

use crate::annotation::{Key, OnError, Reader, Row, Support};
use crate::digest_auth::{Checked, DigestUsers};
use crate::password::{PasswordCheck, Hash};
use crate::{Answer, Ask, Data, Edits, Feature, Keys, Reply, Request, RuleFacts, Verdict, satisfy};

const TYPE: Key<Scheme> = Key {
    row: Row {
        name: "auth-type",
        sentence: "Asks clients for a user and a password: `basic` or `digest`.",
        default: "nobody is asked",
        example: "basic",
        support: Support::Honoured,
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
        support: Support::Honoured,
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
    way: Way,
    any: bool,
}

/// How clients prove who they are.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Way {
    Basic { users: Arc<Users>, challenge: HeaderValue },
    Digest(Arc<DigestUsers>),
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
        let kind = kind?;
        let Some(secret) = secret else {
            let message = "is there without auth-secret, which names the users, so the paths of this Ingress answer 503; add it";
            reader.report(TYPE.row.name, message.to_owned(), OnError::Close);
            return None;
        };
        let read = reader.objects().secret(&secret).and_then(|data| match kind {
            Scheme::Basic => {
                let mut users = Users::new();
                let unusable = each(&data, form, &secret, |name, stored| add(&mut users, name, stored))?;
                let challenge = format!("Basic realm=\"{realm}\"").try_into().map_err(|_| "its realm is no text".to_owned())?;
                Ok((Way::Basic { users: Arc::new(users), challenge }, unusable))
            }
            Scheme::Digest => {
                let mut users = DigestUsers::new(&realm);
                let unusable = each(&data, form, &secret, |name, stored| users.add(name, stored))?;
                Ok((Way::Digest(Arc::new(users)), unusable))
            }
        });
        let (way, unusable) = match read {
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
        Some(Self { way, any })
    }

    fn on_request(&self, request: &Request<'_>, edits: &mut Edits) -> Verdict {
        // The endpoint gets no password, whoever passed.
        edits.upstream_fields.push((header::AUTHORIZATION, None));
        if edits.satisfied {
            return Verdict::Continue;
        }
        match &self.way {
            Way::Basic { users, challenge } => {
                let Some((user, password)) = request.headers.get(header::AUTHORIZATION).and_then(credentials) else {
                    return self.refuse(edits, challenge.clone(), "password_missing");
                };
                match check(users, &user, &password) {
                    None => self.refuse(edits, challenge.clone(), "password_wrong"),
                    Some(check) => Verdict::Ask(Box::new(Ask::Password(check))),
                }
            }
            Way::Digest(users) => self.prove(users, request, edits),
        }
    }

    fn on_reply(&self, _: &Request<'_>, edits: &mut Edits, reply: &Reply) -> Verdict {
        match (reply, &self.way) {
            (Reply::Password(true), _) => satisfy::passed(self.any, edits),
            (Reply::Password(false), Way::Basic { challenge, .. }) => {
                self.refuse(edits, challenge.clone(), "password_wrong")
            }
            _ => Verdict::status(503, "password_unchecked"),
        }
    }
}

impl BasicAuth {
    fn prove(&self, users: &DigestUsers, request: &Request<'_>, edits: &mut Edits) -> Verdict {
        let reason = match users.check(request) {
            Checked::Passes(info) => {
                edits.response_fields.extend(info.map(|info| (INFO, info)));
                return satisfy::passed(self.any, edits);
            }
            Checked::Elsewhere => {
                let answer = Answer { status: 400, fields: Vec::new(), body: None, reason: "password_elsewhere" };
                return satisfy::denied(self.any, edits, answer);
            }
            Checked::Missing => "password_missing",
            Checked::Wrong => "password_wrong",
            Checked::Stale => "password_stale",
        };
        match users.challenge(request, reason == "password_stale") {
            Some(challenge) => self.refuse(edits, challenge, reason),
            None => Verdict::status(503, "password_unchecked"),
        }
    }

    fn refuse(&self, edits: &mut Edits, challenge: HeaderValue, reason: &'static str) -> Verdict {
        let fields = vec![(header::WWW_AUTHENTICATE, challenge)];
        satisfy::denied(self.any, edits, Answer { status: 401, fields, body: None, reason })
    }
}

const INFO: HeaderName = HeaderName::from_static("authentication-info");

/// An unknown user is checked against somebody's password, so that it takes as long.
fn check(users: &Users, user: &[u8], password: &[u8]) -> Option<PasswordCheck> {
    let known = std::str::from_utf8(user).ok().and_then(|user| users.get(user));
    let slowest = || users.values().find(|hash| hash.is_slow()).or_else(|| users.values().next());
    let hash = known.or_else(slowest)?;
    Some(PasswordCheck::new(hash.clone(), password, known.is_some()))
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

/// Adds a user with a password as it is stored. Of several lines of a name the first counts.
fn add(users: &mut Users, name: &str, stored: &str) -> Result<(), &'static str> {
    // A second colon ends the password, as nginx reads it.
    let stored = if stored.starts_with("{PLAIN}") { stored } else { stored.split(':').next().unwrap_or_default() };
    let hash = Hash::parse(stored)?;
    users.entry(name.into()).or_insert_with(|| Arc::new(hash));
    Ok(())
}

/// Adds each user of a Secret, and tells what is wrong with some.
fn each(
    data: &Data,
    form: Form,
    secret: &str,
    mut add: impl FnMut(&str, &str) -> Result<(), &'static str>,
) -> Result<Vec<String>, String> {
    let (mut unusable, mut usable) = (Vec::new(), 0);
    let mut add = |name: &str, stored: &str, place: String| match add(name, stored) {
        Ok(()) => usable += 1,
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
                add(name, rest, format!("line {}", number + 1));
            }
        }
    }
    if usable == 0 && unusable.is_empty() {
        unusable.push("names a Secret without users, so that nobody can pass".to_owned());
    }
    Ok(unusable)
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
    fn digest_asks_for_a_proof_and_any_check_may_take_its_place() {
        let file = OneSecret("auth", "ann:here:939e7578ed9e3c518a452acee763bce9\nbob:there:939e7578ed9e3c518a452acee763bce9\n");
        let asked = [("auth-type", "digest"), ("auth-secret", "users"), ("auth-realm", "here"), ("satisfy", "any")];
        let (headers, labels) = (HeaderMap::new(), Labels::default());
        let request = crate::request::tests::plain(&headers, &labels);
        for (asked, denied) in [(&asked[..3], false), (&asked[..], true)] {
            let (feature, problems) = read(&file, asked);
            assert!(matches!(&*problems, [(OnError::Default, why)] if why.contains("line 2")), "{problems:?}");
            let mut edits = Edits::default();
            let verdict = feature.unwrap().on_request(&request, &mut edits);
            let continues = verdict == Verdict::Continue;
            let answer = match verdict {
                Verdict::Answer(answer) => answer,
                _ => edits.denied.take().unwrap(),
            };
            assert_eq!((answer.status, edits.upstream_fields.len(), continues), (401, 1, denied));
            let challenge = answer.fields[0].1.to_str().unwrap();
            assert!(challenge.starts_with("Digest realm=\"here\", qop=\"auth\", algorithm=MD5, nonce=\"0"), "{challenge}");
        }
        let mut edits = Edits { satisfied: true, ..Edits::default() };
        assert_eq!(read(&file, &asked).0.unwrap().on_request(&request, &mut edits), Verdict::Continue);
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
