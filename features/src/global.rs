//! Settings of the controller's ConfigMap that hold for the whole data plane, not for one rule.
mod answers;
mod compression;
mod connections;
mod logging;
mod requests;
mod sender;
mod stream;
mod tls;
mod tracing;

use crate::Keys;
use crate::annotation::{Config, OnError, Problem};
use crate::objects::{Data, Objects};

pub use answers::{Answers, ServerField};
pub use compression::{Coding, Compressed, Compression};
pub use connections::Connections;
pub use logging::{Escape, LogTarget, Logging};
pub use requests::Requests;
pub use sender::{Claims, Sender};
pub use stream::Streams;
pub use tls::{Tls, Versions};
pub use tracing::{Export, Tracing};

/// Settings that hold for every request and connection. The default is what an empty ConfigMap says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Global {
    /// Who a request comes from.
    pub sender: Sender,
    /// What endpoints get beside the client's request.
    pub requests: Requests,
    /// What clients get beside an endpoint's answer.
    pub answers: Answers,
    /// Limits and timeouts of client connections, in place of the flags.
    pub connections: Connections,
    /// Which answers are compressed.
    pub compression: Compression,
    /// Connections that pass as bytes.
    pub streams: Streams,
    /// TLS with clients.
    pub tls: Tls,
    /// The access log.
    pub logging: Logging,
    /// Traces.
    pub tracing: Tracing,
}

impl Global {
    /// Reads the settings. A value that cannot be used keeps its default, and never blocks the others; what is wrong with
    /// values by themselves is [`crate::check_config`]'s to tell, so the problems are those of what they refer to.
    #[must_use]
    pub fn read(config: &Config, objects: &dyn Objects) -> (Self, Vec<Problem>) {
        let mut reader = GlobalReader { config, objects, problems: Vec::new() };
        let global = Self {
            sender: Sender::read(config),
            requests: Requests::read(&mut reader),
            answers: Answers::read(&mut reader),
            connections: Connections::read(config),
            compression: Compression::read(config),
            streams: Streams::read(config),
            tls: Tls::read(&mut reader),
            logging: Logging::read(&mut reader),
            tracing: Tracing::read(config),
        };
        (global, reader.problems)
    }
}

/// The modules that read global keys.
pub(crate) const MODULES: &[(&str, Keys)] = &[
    ("sender", sender::CONFIG),
    ("requests", requests::CONFIG),
    ("answers", answers::CONFIG),
    ("connections", connections::CONFIG),
    ("compression", compression::CONFIG),
    ("stream", stream::CONFIG),
    ("tls", tls::CONFIG),
    ("logging", logging::CONFIG),
    ("tracing", tracing::CONFIG),
];

/// What global settings are read from.
struct GlobalReader<'a> {
    config: &'a Config,
    objects: &'a dyn Objects,
    problems: Vec<Problem>,
}

impl GlobalReader<'_> {
    /// The ConfigMap that a key names, `namespace/name`; empty without one.
    fn config_map(&mut self, key: &crate::annotation::Key<String>) -> Data {
        let Some(reference) = self.config.get(key) else { return Data::new() };
        match self.objects.config_map(&reference) {
            Ok(data) => data,
            Err(message) => {
                self.report(key.row.name, format!("names what is not there: {message}"));
                Data::new()
            }
        }
    }

    fn report(&mut self, name: &str, message: String) {
        self.problems.push(Problem { name: name.to_owned(), message, effect: OnError::Default });
    }
}

/// A reference `namespace/name`.
fn reference(text: &str) -> Result<String, String> {
    match text.split_once('/') {
        Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() && !name.contains('/') => {
            Ok(text.to_owned())
        }
        _ => Err("is not namespace/name".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NoObjects;

    #[test]
    fn an_empty_config_map_says_the_default() {
        let (global, problems) = Global::read(&Config::default(), &NoObjects);
        assert_eq!((global, problems), (Global::default(), vec![]));
    }

    #[test]
    fn a_map_that_is_missing_is_told_and_blocks_nothing() {
        let pairs = [("add-headers", "ns/gone"), ("hsts", "false")];
        let config = Config::new(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let (global, problems) = Global::read(&config, &NoObjects);
        assert_eq!(global.answers.hsts, None);
        assert_eq!(problems[0].name, "add-headers");
    }
}
