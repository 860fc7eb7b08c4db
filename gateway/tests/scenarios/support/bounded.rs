//! Upper bounds: a scenario that cannot make progress fails instead of hanging.
use std::time::Duration;

/// Far more than anything here takes on a busy machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// The result of something that must happen.
#[track_caller]
pub(crate) fn bounded<F: Future>(what: &str, future: F) -> impl Future<Output = F::Output> {
    let place = std::panic::Location::caller();
    async move {
        match tokio::time::timeout(LIMIT, future).await {
            Ok(output) => output,
            Err(_) => panic!("{place}: {what} did not happen within {LIMIT:?}"),
        }
    }
}

/// Asks again and again until there is an answer: for what can only be asked for.
#[track_caller]
pub(crate) fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut ask: impl FnMut() -> F,
) -> impl Future<Output = T> {
    bounded(what, async move {
        let mut pace = tokio::time::interval(Duration::from_millis(5));
        loop {
            pace.tick().await;
            if let Some(answer) = ask().await {
                return answer;
            }
        }
    })
}
