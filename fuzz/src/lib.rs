//! What must hold for any input. Each public module takes bytes and panics when a promise is broken; `fuzz_targets/`
//! feeds them from libFuzzer, `tests/` from seeds and fixed mutations, on any compiler.

pub mod annotations;
#[cfg(feature = "manifest")]
pub mod manifest;
pub mod request_head;

// The gateway's examination of heads is private there and needs nothing else of it, so its source is taken in: that
// leaves Pingora out of the build.
#[path = "../../gateway/src/head.rs"]
mod head;
#[path = "../../gateway/src/limits.rs"]
#[allow(dead_code, reason = "only those of heads are used")]
mod limits;

/// What the head's source needs of the gateway's metrics.
mod metrics {
    /// Why a request was refused.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum BadRequest {
        Malformed,
        HeadTooLarge,
        TooManyFields,
        Framing,
        Host,
    }
}
