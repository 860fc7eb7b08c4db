//! What a request can match: hosts, paths, rules, clusters and certificates.
//!
//! Pure data, generic over what a match means. There is no clock, no I/O, no thread and no Kubernetes here.
#![warn(clippy::disallowed_methods)]

mod backend;
mod certificate;
mod find;
mod host;
mod host_map;
mod host_regex;
mod path;
mod path_regex;
mod rank;
mod resolved;
mod rules;
mod stream;
mod table;
mod update;

pub use backend::{ClusterId, Endpoint, Endpoints, Readiness, ServicePort};
pub use certificate::Certificate;
pub use find::{Ambiguous, Candidate, Found, Trace};
pub use host::{HostPattern, HostPatternError, MAX_HOST, RequestHost, RequestHostError};
pub use host_map::HostMap;
pub use host_regex::HostRegex;
pub use path::{MAX_PATH, PathMatch, PathMatchError, RequestPath, RequestPathError};
pub use path_regex::{PathRegex, PathRegexError};
pub use rank::Rank;
pub use resolved::Resolved;
pub use rules::{Rule, Rules};
pub use stream::{Stream, Transport};
pub use table::{Generation, Policy, Table};
pub use update::{Checks, Facts, Update, Verdicts, WatchFacts};
