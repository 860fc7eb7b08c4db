//! A pod that dies and recovers in turns, and tells how long after each recovery it gets requests again.
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use serde_json::json;
use tokio::sync::{Notify, watch};

/// How a pod behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// It answers.
    Healthy,
    /// Nothing listens; open connections are cut.
    Refuses,
    /// It takes requests and never answers.
    Hangs,
    /// It answers 503.
    Unavailable,
}

/// A pod's life: how it behaves now, and what became of its recoveries.
#[derive(Debug)]
pub(crate) struct Life {
    mode: watch::Sender<Mode>,
    first: Notify,
    /// When it recovered, until a request comes.
    recovered: Mutex<Option<Instant>>,
}

impl Life {
    /// It is healthy, and stays so unless somebody [`Life::flip`]s it.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { mode: watch::Sender::new(Mode::Healthy), first: Notify::new(), recovered: Mutex::default() })
    }

    /// How it behaves, and will.
    pub(crate) fn modes(&self) -> watch::Receiver<Mode> {
        self.mode.subscribe()
    }

    /// Waits for the first request, and then dies and recovers for as long each. The time begins with a request so that
    /// whoever sends them knows what happens when.
    pub(crate) async fn flip(&self, every: Duration, dead: Mode) {
        self.first.notified().await;
        let mut next = tokio::time::interval(every);
        // The first tick comes at once.
        next.tick().await;
        loop {
            next.tick().await;
            if self.take_recovery().is_some() {
                tell(None);
            }
            self.mode.send_replace(dead);
            next.tick().await;
            *self.recovered.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
            self.mode.send_replace(Mode::Healthy);
        }
    }

    /// A request has come, and is no probe. How is it to be answered?
    pub(crate) fn asked(&self) -> Mode {
        let mode = *self.mode.borrow();
        self.first.notify_one();
        if mode == Mode::Healthy
            && let Some(recovered) = self.take_recovery()
        {
            tell(Some(recovered.elapsed()));
        }
        mode
    }

    /// How a probe is to be answered.
    pub(crate) fn probed(&self) -> Mode {
        *self.mode.borrow()
    }

    fn take_recovery(&self) -> Option<Instant> {
        self.recovered.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// One line for each recovery: milliseconds until the first request, null when none came before it died again.
fn tell(after: Option<Duration>) {
    let back = after.map(|after| after.as_secs_f64() * 1e3);
    // Whoever started the pod may not care.
    drop(writeln!(io::stdout(), "{}", json!({ "back_ms": back })));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_pod_dies_after_its_first_request_and_a_probe_is_none() {
        let life = Life::new();
        let mut modes = life.modes();
        let flipped = life.clone();
        let flips = tokio::spawn(async move { flipped.flip(Duration::from_millis(200), Mode::Hangs).await });
        assert_eq!((life.probed(), life.asked()), (Mode::Healthy, Mode::Healthy));
        modes.changed().await.unwrap();
        assert_eq!((life.asked(), life.take_recovery()), (Mode::Hangs, None));
        modes.changed().await.unwrap();
        assert_eq!(life.probed(), Mode::Healthy);
        assert!(life.take_recovery().is_some());
        flips.abort();
    }
}
