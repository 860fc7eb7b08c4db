//! Where lines go: standard output, or a file that another program may move away.
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;

use features::LogTarget;

/// The log's readers, not everybody.
const MODE: u32 = 0o640;

/// Writes to the target that was chosen last.
pub(super) struct Output {
    standard: Box<dyn Write + Send>,
    target: LogTarget,
    /// The target's file, where that could be opened.
    file: Option<File>,
}

impl Output {
    /// Writes to standard output, which is given so that tests can read it.
    pub(super) fn new(standard: Box<dyn Write + Send>) -> Self {
        Self { standard, target: LogTarget::Stdout, file: None }
    }

    /// Is it the target?
    pub(super) fn goes_to(&self, target: &LogTarget) -> bool {
        self.target == *target
    }

    /// Chooses a target.
    pub(super) fn turn_to(&mut self, target: &LogTarget) {
        self.target = target.clone();
        self.reopen();
    }

    /// Opens the file anew: the one of this name may be another one now. What cannot be opened is told of, and standard
    /// output gets the lines.
    pub(super) fn reopen(&mut self) {
        self.file = None;
        let LogTarget::File(path) = &self.target else { return };
        match open(path) {
            Ok(file) => self.file = Some(file),
            Err(error) => tracing::error!(
                path = &**path,
                %error,
                "the access log cannot be appended to the file of access-log-path; it goes to standard output"
            ),
        }
    }

    /// Writes lines.
    pub(super) fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        match (&mut self.file, &self.target) {
            (Some(file), _) => file.write_all(lines),
            (None, LogTarget::Stderr) => io::stderr().write_all(lines),
            (None, _) => self.standard.write_all(lines).and_then(|()| self.standard.flush()),
        }
    }
}

fn open(path: &str) -> io::Result<File> {
    // Opening a pipe would wait for its reader.
    if std::fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        return Err(io::Error::other("it is no file"));
    }
    OpenOptions::new().append(true).create(true).mode(MODE).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_moved_is_left_when_it_is_opened_anew() {
        let folder = tempfile::tempdir().unwrap();
        let (path, moved) = (folder.path().join("log"), folder.path().join("log.1"));
        let mut output = Output::new(Box::new(io::sink()));
        output.turn_to(&LogTarget::File(path.to_str().unwrap().into()));
        output.write(b"1\n").unwrap();
        std::fs::rename(&path, &moved).unwrap();
        output.write(b"2\n").unwrap();
        output.reopen();
        output.write(b"3\n").unwrap();
        assert_eq!(std::fs::read_to_string(&moved).unwrap(), "1\n2\n");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "3\n");
    }

    #[test]
    fn what_is_no_file_is_not_written_to() {
        let folder = tempfile::tempdir().unwrap();
        assert!(open(folder.path().to_str().unwrap()).is_err());
        assert!(open("/dev/null").is_err());
        assert!(open(folder.path().join("none/log").to_str().unwrap()).is_err());
    }
}
