//! How much memory the process may use and how much it uses, as the kernel tells.
use std::path::{Path, PathBuf};

/// Where the limit and the use stand.
#[derive(Debug)]
pub(super) struct Memory {
    limit: f64,
    source: Source,
}

#[derive(Debug)]
enum Source {
    /// A cgroup: the file of its use, and that of its statistics with the name of the cache that can be given up.
    Group { used: PathBuf, statistics: PathBuf, cache: &'static str },
    /// The process itself, when somebody else says what the limit is.
    Process,
}

/// More than any machine has: cgroup v1 writes such a number when there is no limit.
const UNLIMITED: u64 = 1 << 60;

/// The size of a page, in which the kernel counts a process's memory.
const PAGE: u64 = 4_096;

impl Memory {
    /// With the limit that the operator names, or that of the cgroup. `None` without a limit.
    pub(super) fn find(limit: Option<u64>) -> Option<Self> {
        if let Some(limit) = limit {
            return Self::new(limit, Source::Process);
        }
        Self::of_group(Path::new("/sys/fs/cgroup"))
    }

    /// As a container sees its own cgroup, version 2 or 1.
    fn of_group(root: &Path) -> Option<Self> {
        if let Some(limit) = number(&root.join("memory.max")) {
            let (used, statistics) = (root.join("memory.current"), root.join("memory.stat"));
            return Self::new(limit, Source::Group { used, statistics, cache: "inactive_file" });
        }
        let root = root.join("memory");
        let limit = number(&root.join("memory.limit_in_bytes"))?;
        let (used, statistics) = (root.join("memory.usage_in_bytes"), root.join("memory.stat"));
        Self::new(limit, Source::Group { used, statistics, cache: "total_inactive_file" })
    }

    fn new(limit: u64, source: Source) -> Option<Self> {
        #[expect(clippy::cast_precision_loss, reason = "a share need not be exact")]
        let this = Self { limit: limit as f64, source };
        (1..UNLIMITED).contains(&limit).then_some(this)
    }

    /// The share of the limit that is in use. `matters` is the share from which on it has to be exact.
    pub(super) fn used(&self, matters: f64) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a share need not be exact")]
        let share = |bytes: u64| bytes as f64 / self.limit;
        match &self.source {
            Source::Process => share(resident()),
            Source::Group { used, statistics, cache } => {
                let bytes = number(used).unwrap_or_default();
                if share(bytes) < matters {
                    return share(bytes);
                }
                // The kernel gives file pages up that nobody has used for long before it ends a process.
                share(bytes.saturating_sub(statistic(statistics, cache)))
            }
        }
    }
}

fn number(path: &Path) -> Option<u64> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn statistic(path: &Path, name: &str) -> u64 {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.and_then(|number| number.trim().parse().ok()).unwrap_or_default()
}

/// Memory of the process that lies in RAM.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = text.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or_default();
    pages.saturating_mul(PAGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        folder
    }

    fn used(files: &[(&str, &str)]) -> Option<f64> {
        let folder = folder(files);
        Memory::of_group(folder.path()).map(|memory| memory.used(0.5))
    }

    fn is(share: Option<f64>, want: f64) -> bool {
        share.is_some_and(|share| (share - want).abs() < 1e-9)
    }

    #[test]
    fn a_cgroup_of_version_2_is_read() {
        let files = [
            ("memory.max", "1000\n"),
            ("memory.current", "900\n"),
            ("memory.stat", "anon 600\ninactive_file_x 1\ninactive_file 300\n"),
        ];
        assert!(is(used(&files), 0.6));
        let little = [("memory.max", "1000\n"), ("memory.current", "400\n")];
        assert!(is(used(&little), 0.4));
    }

    #[test]
    fn a_cgroup_of_version_1_is_read() {
        let files = [
            ("memory/memory.limit_in_bytes", "1000\n"),
            ("memory/memory.usage_in_bytes", "900\n"),
            ("memory/memory.stat", "total_inactive_file 100\n"),
        ];
        assert!(is(used(&files), 0.8));
    }

    #[test]
    fn without_a_limit_there_is_nothing_to_watch() {
        assert_eq!(used(&[]), None);
        assert_eq!(used(&[("memory.max", "max\n"), ("memory.current", "1\n")]), None);
        assert_eq!(used(&[("memory/memory.limit_in_bytes", "9223372036854771712\n")]), None);
        assert!(Memory::find(Some(0)).is_none());
    }

    #[test]
    fn a_limit_that_is_named_is_compared_with_the_process() {
        assert!(Memory::find(Some(1)).is_some_and(|memory| memory.used(0.0) > 1.0));
    }
}
