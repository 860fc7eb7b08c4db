//! What can go wrong between this process and the API server.
use std::fmt;
use std::time::Duration;

use kube::core::Status;

/// A failure of one request or watch.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The API server answered with a failure.
    Status(Box<Status>),
    /// There was no answer, or one that cannot be read.
    Client(kube::Error),
    /// There was no answer in time.
    TimedOut(&'static str),
    /// A list was empty after one with so many objects.
    Emptied(usize),
    /// A list did not tell its resource version.
    NoVersion,
    /// A watch ended as soon as it had begun.
    Short,
}

impl From<kube::Error> for Fault {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => Self::Status(status),
            other => Self::Client(other),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "the API server answers {}: {}", status.code, status.message),
            Self::Client(error) => write!(f, "{error}"),
            Self::TimedOut(what) => write!(f, "{what} was not answered in time"),
            Self::Emptied(before) => write!(f, "the list is empty after one of {before} objects"),
            Self::NoVersion => f.write_str("the list has no resource version"),
            Self::Short => f.write_str("the watch ended as soon as it had begun"),
        }
    }
}

impl Fault {
    /// The answer, if there was one.
    pub(crate) fn status(&self) -> Option<&Status> {
        match self {
            Self::Status(status) => Some(status),
            Self::Client(_) | Self::TimedOut(_) | Self::Emptied(_) | Self::NoVersion | Self::Short => None,
        }
    }

    /// Are the rights missing?
    pub(crate) fn is_forbidden(&self) -> bool {
        // `is_forbidden` alone overlooks answers without a reason, as proxies give them.
        self.status().is_some_and(|status| status.code == 403 || status.is_forbidden())
    }

    /// Is it not known who asks?
    pub(crate) fn is_unauthorized(&self) -> bool {
        self.status().is_some_and(|status| status.code == 401)
    }

    /// Is there no such object?
    pub(crate) fn is_not_found(&self) -> bool {
        self.status().is_some_and(|status| status.code == 404)
    }

    /// Has somebody else been faster?
    pub(crate) fn is_conflict(&self) -> bool {
        self.status().is_some_and(|status| status.code == 409)
    }

    /// Is the place from which to watch on too old?
    pub(crate) fn is_gone(&self) -> bool {
        self.status().is_some_and(|status| status.code == 410)
    }

    /// How long the API server asks to wait.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        let seconds = self.status()?.details.as_ref()?.retry_after_seconds;
        (seconds > 0).then(|| Duration::from_secs(seconds.into()))
    }
}
