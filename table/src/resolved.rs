//! What the data plane derived from a part of a table.
use std::any::Any;
use std::sync::{Arc, OnceLock};

/// A place where the data plane keeps what it resolved once for something in a table (a rule's metric handles, a
/// certificate's signing key), so that no request has to. Opaque here, and filled at most once.
#[derive(Default)]
pub struct Resolved(OnceLock<Arc<dyn Any + Send + Sync>>);

impl Resolved {
    /// The value, made on first use.
    pub fn get_or_init<T: Any + Send + Sync>(&self, make: impl FnOnce() -> Arc<T>) -> Option<&T> {
        let value: &Arc<dyn Any + Send + Sync> = self.0.get_or_init(|| make());
        (**value).downcast_ref()
    }
}

impl std::fmt::Debug for Resolved {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resolved").field("done", &self.0.get().is_some()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_resolved_once() {
        let resolved = Resolved::default();
        assert_eq!(resolved.get_or_init(|| Arc::new(1_u8)), Some(&1));
        assert_eq!(resolved.get_or_init(|| Arc::new(2_u8)), Some(&1));
        assert_eq!(resolved.get_or_init(|| Arc::new("other type")), None);
    }
}
