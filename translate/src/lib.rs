//! Kubernetes objects to a route table, as a pure function.
//!
//! Tables are total: an object that cannot be understood becomes a rule that answers an error, plus a [`Note`]; it
//! never takes another object down. There is no clock, no I/O and no Kubernetes client here.
#![warn(clippy::disallowed_methods)]

mod annotations;
mod backends;
mod canaries;
mod canary;
mod certificates;
mod class;
mod clusters;
mod config;
mod defaults;
mod dependents;
mod endpoint_slice;
mod further_hosts;
mod host_settings;
mod hosts;
mod ingress;
mod ingress_notes;
mod lent_tls;
mod notes;
mod object;
mod options;
mod paths;
mod readiness_probe;
mod referred;
mod regex_host;
mod report;
mod review;
mod round;
mod secrets;
mod seniority;
mod service;
mod snapshot;
mod streams;
mod text;
mod tls;
mod tls_entries;
mod tls_hosts;
mod translator;
mod traps;

pub use object::{Change, Kind, Object, ObjectRef};
pub use options::Options;
pub use report::{Note, Severity};
pub use review::{Judged, Review, Reviewed};
pub use secrets::secrets_of;
pub use snapshot::SERVICE_LABEL;
pub use translator::{ExternalName, Output, Translator, translate};
