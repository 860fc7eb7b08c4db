//! How a command ends when it cannot do its work.

/// One sentence with the remedy, and the exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    /// What went wrong and what to do.
    pub(crate) message: String,
    /// 1 for what failed at run time, 2 for wrong usage.
    pub(crate) code: u8,
}

impl Failure {
    /// Something that cannot be understood on the command line.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: 2 }
    }

    /// Something that failed while running.
    pub(crate) fn runtime(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: 1 }
    }
}

impl From<controller::Error> for Failure {
    fn from(error: controller::Error) -> Self {
        Self::runtime(error.0)
    }
}

impl From<gateway::Error> for Failure {
    fn from(error: gateway::Error) -> Self {
        Self::runtime(error.0)
    }
}
