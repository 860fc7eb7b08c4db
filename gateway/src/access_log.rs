//! One line a request, JSON or with nginx variables, written by a thread of its own.
//!
//! The request path hands a [`Record`] over and goes on: when writing cannot keep up the line is dropped and counted,
//! never waited for.
mod escape;
mod line;
mod nginx;
mod output;

use std::io::Write;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use features::{Global, Labels, Logging};
use http::{HeaderValue, Method, Uri, Version};
use prometheus::IntCounter;
use table::ClusterId;

use crate::metrics::Metrics;
use crate::upstream::Attempt;

pub(crate) use nginx::{Extra, HOSTNAME, named};
use output::Output;

/// Lines that may wait to be written.
const QUEUE: usize = 8192;

/// Bytes that are written at once, about.
const BATCH: usize = 64 * 1024;

/// How long the writer lets lines gather after it wrote some. To wake it for each costs several times what a line does.
/// The first line after a silence is written at once, and the queue has room for 800,000 a second.
const PAUSE: Duration = Duration::from_millis(10);

/// How long [`AccessLog::stop`] waits for a writer that does not get on.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a line tells about a request. Everything in it is cheap to move or to clone from the request.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    /// When the head arrived.
    pub(crate) time: jiff::Timestamp,
    /// The method.
    pub(crate) method: Method,
    /// The canonical host.
    pub(crate) host: Box<str>,
    /// The target as sent.
    pub(crate) target: Uri,
    /// The protocol of the client.
    pub(crate) protocol: Version,
    /// The status that the client got; 499 if it left before.
    pub(crate) status: u16,
    /// Bytes of the request body.
    pub(crate) request_bytes: u64,
    /// Bytes of the response body.
    pub(crate) response_bytes: u64,
    /// From the request's head to the end of the response.
    pub(crate) duration: Duration,
    /// The client's address.
    pub(crate) client: Option<IpAddr>,
    /// The User-Agent field.
    pub(crate) user_agent: Option<HeaderValue>,
    /// The Referer field.
    pub(crate) referer: Option<HeaderValue>,
    /// The X-Request-ID field that the endpoint got.
    pub(crate) request_id: Option<HeaderValue>,
    /// The objects of the rule.
    pub(crate) labels: Arc<Labels>,
    /// The canary that the request went to.
    pub(crate) canary: Option<ClusterId>,
    /// The tries, the one that served last.
    pub(crate) attempts: Vec<Attempt>,
    /// One short word for why the gateway answered itself or failed; empty when an endpoint answered.
    pub(crate) reason: &'static str,
    /// The client's TLS connection.
    pub(crate) tls: Option<Tls>,
    /// How often another endpoint was tried.
    pub(crate) retries: u32,
    /// The W3C trace context that the endpoint got.
    pub(crate) traceparent: Option<HeaderValue>,
    /// The settings of the table that decided: where the line goes, and its form.
    pub(crate) global: Option<Arc<Global>>,
    /// For a line with nginx variables; otherwise it is JSON.
    pub(crate) extra: Option<Box<Extra>>,
}

impl Record {
    /// The ids of the trace and of the caller's span (W3C Trace Context, version 00: `00-trace-span-flags`).
    fn trace(&self) -> Option<(&str, &str)> {
        let mut parts = self.traceparent.as_ref()?.to_str().ok()?.split('-').skip(1);
        let (trace, span) = (parts.next()?, parts.next()?);
        (trace.len() == 32 && span.len() == 16).then_some((trace, span))
    }

    fn logging(&self) -> &Logging {
        static DEFAULT: LazyLock<Logging> = LazyLock::new(Logging::default);
        self.global.as_ref().map_or_else(|| &*DEFAULT, |global| &global.logging)
    }
}

/// What a line tells about a TLS connection.
#[derive(Clone, Debug)]
pub(crate) struct Tls {
    /// The version, as `TLSv1.3`.
    pub(crate) version: Arc<str>,
    /// The server name that the client asked for.
    pub(crate) sni: Option<Arc<str>>,
    /// The cipher, as OpenSSL names it.
    pub(crate) cipher: &'static str,
    /// An earlier session was resumed.
    pub(crate) resumed: bool,
}

/// Where requests leave their records.
pub(crate) struct AccessLog {
    /// Boxed, so that an idle queue is small. Gone once the log has stopped. `None` only wakes the writer.
    queue: ArcSwapOption<SyncSender<Option<Box<Record>>>>,
    /// The file is to be opened anew.
    reopen: Arc<AtomicBool>,
    dropped: IntCounter,
    writer: Mutex<Option<Writer>>,
}

impl std::fmt::Debug for AccessLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AccessLog").finish_non_exhaustive()
    }
}

struct Writer {
    thread: JoinHandle<()>,
    /// Disconnects when the thread ends.
    ended: Receiver<()>,
}

impl AccessLog {
    /// Starts the writer.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub(crate) fn start(out: Box<dyn Write + Send>, metrics: &Metrics) -> std::io::Result<Self> {
        Self::with_capacity(QUEUE, out, metrics.access_log_dropped())
    }

    fn with_capacity(capacity: usize, out: Box<dyn Write + Send>, dropped: IntCounter) -> std::io::Result<Self> {
        let (queue, records) = sync_channel(capacity);
        let (alive, ended) = sync_channel(0);
        let failed = dropped.clone();
        let reopen = Arc::<AtomicBool>::default();
        let asked = reopen.clone();
        let thread = std::thread::Builder::new().name("access-log".to_owned()).spawn(move || {
            write_all(&records, Output::new(out), &asked, &failed);
            drop(alive);
        })?;
        let queue = ArcSwapOption::from_pointee(queue);
        Ok(Self { queue, reopen, dropped, writer: Mutex::new(Some(Writer { thread, ended })) })
    }

    /// Leaves a record to be written. Never waits; counts what finds no room.
    pub(crate) fn log(&self, record: Record) {
        let queued = self.queue.load().as_ref().is_some_and(|queue| queue.try_send(Some(Box::new(record))).is_ok());
        if !queued {
            self.dropped.inc();
        }
    }

    /// Opens the file anew (SIGUSR1), before the next line is written.
    pub(crate) fn reopen(&self) {
        self.reopen.store(true, Ordering::Release);
        if let Some(queue) = &*self.queue.load() {
            // A queue that is full needs no waking.
            queue.try_send(None).unwrap_or_default();
        }
    }

    /// Writes what is queued and ends the writer. Waits, but not for ever: whoever reads the output may be stuck. Later
    /// records are dropped.
    pub(crate) fn stop(&self) {
        self.queue.store(None);
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Writer { thread, ended }) = writer else { return };
        if ended.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!("the access log was not written to its end: whoever reads it is stuck");
        } else if thread.join().is_err() {
            tracing::error!("the access log's writer has panicked; lines are missing");
        }
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Writes records in batches until every sender is gone.
fn write_all(records: &Receiver<Option<Box<Record>>>, mut out: Output, reopen: &AtomicBool, failed: &IntCounter) {
    let mut batch = Batch { bytes: Vec::with_capacity(BATCH), lines: 0 };
    while let Ok(first) = records.recv() {
        if reopen.swap(false, Ordering::AcqRel) {
            out.reopen();
        }
        for record in std::iter::once(first).chain(records.try_iter()).flatten() {
            let logging = record.logging();
            if !out.goes_to(&logging.target) {
                batch.end(&mut out, failed);
                out.turn_to(&logging.target);
            }
            batch.add(&record, logging, failed);
            if batch.bytes.len() >= BATCH {
                break;
            }
        }
        let more = batch.bytes.len() >= BATCH;
        batch.end(&mut out, failed);
        if !more {
            std::thread::sleep(PAUSE);
        }
    }
}

/// Lines that are written at once.
struct Batch {
    bytes: Vec<u8>,
    lines: u64,
}

impl Batch {
    fn add(&mut self, record: &Record, logging: &Logging, failed: &IntCounter) {
        let written = match &record.extra {
            Some(extra) => {
                nginx::write(record, extra, logging, &mut self.bytes);
                Ok(())
            }
            None => line::write(record, &mut self.bytes),
        };
        match written {
            Ok(()) => self.lines += 1,
            Err(_) => failed.inc(),
        }
    }

    fn end(&mut self, out: &mut Output, failed: &IntCounter) {
        if self.lines > 0 && out.write(&self.bytes).is_err() {
            failed.inc_by(self.lines);
        }
        self.bytes.clear();
        self.lines = 0;
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::sync::mpsc::{Sender, channel};

    /// A record with nothing special in it.
    pub(crate) fn record(path: &'static str) -> Record {
        Record {
            time: "2026-01-02T03:04:05.006Z".parse().unwrap(),
            method: Method::GET,
            host: "a.com".into(),
            target: Uri::from_static(path),
            protocol: Version::HTTP_11,
            status: 200,
            request_bytes: 0,
            response_bytes: 12,
            duration: Duration::from_micros(1_500),
            client: Some([192, 0, 2, 1].into()),
            user_agent: None,
            referer: None,
            request_id: None,
            labels: Arc::default(),
            canary: None,
            attempts: vec![],
            reason: "",
            tls: None,
            retries: 0,
            traceparent: None,
            global: None,
            extra: None,
        }
    }

    /// Hands over each batch, and takes the next only when told to.
    struct Gated {
        wrote: Sender<Vec<u8>>,
        go: Receiver<()>,
    }

    impl Write for Gated {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.wrote.send(bytes.to_vec()).unwrap();
            // Without a gatekeeper the gate is open.
            self.go.recv().unwrap_or_default();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    struct Fixture {
        log: AccessLog,
        metrics: Metrics,
        wrote: Receiver<Vec<u8>>,
        go: Sender<()>,
    }

    fn fixture(capacity: usize) -> Fixture {
        let (wrote, writes) = channel();
        let (go, gate) = channel();
        let metrics = Metrics::new().unwrap();
        let out = Box::new(Gated { wrote, go: gate });
        let log = AccessLog::with_capacity(capacity, out, metrics.access_log_dropped()).unwrap();
        Fixture { log, metrics, wrote: writes, go }
    }

    fn paths(batches: impl Iterator<Item = Vec<u8>>) -> Vec<String> {
        let text: Vec<u8> = batches.flatten().collect();
        let lines = text.split_inclusive(|byte| *byte == b'\n');
        lines
            .map(|line| serde_json::from_slice::<serde_json::Value>(line).unwrap())
            .map(|line| line["path"].as_str().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn lines_keep_their_order_and_stop_writes_them_all() {
        let Fixture { log, metrics, wrote, go } = fixture(QUEUE);
        drop(go);
        let names: Vec<String> = (0..500).map(|number| format!("/{number}")).collect();
        for name in &names {
            log.log(Record { target: name.parse().unwrap(), ..record("/") });
        }
        log.stop();
        assert_eq!(paths(wrote.try_iter()), names);
        assert_eq!(metrics.access_log_dropped().get(), 0);
    }

    #[test]
    fn a_stuck_writer_drops_lines_and_counts_them() {
        let Fixture { log, metrics, wrote, go } = fixture(2);
        log.log(record("/written"));
        let first = wrote.recv().unwrap();
        // The writer is stuck now, and there is room for two.
        for path in ["/queued", "/queued-too", "/dropped", "/dropped-too"] {
            log.log(record(path));
        }
        assert_eq!(metrics.access_log_dropped().get(), 2);
        drop(go);
        log.stop();
        assert_eq!(paths(std::iter::once(first).chain(wrote.try_iter())), ["/written", "/queued", "/queued-too"]);
    }

    #[test]
    fn what_waits_is_written_at_once() {
        let Fixture { log, wrote, go, .. } = fixture(QUEUE);
        log.log(record("/first"));
        let first = wrote.recv().unwrap();
        for path in ["/a", "/b", "/c"] {
            log.log(record(path));
        }
        go.send(()).unwrap();
        assert_eq!(paths(std::iter::once(first)), ["/first"]);
        assert_eq!(paths(std::iter::once(wrote.recv().unwrap())), ["/a", "/b", "/c"]);
        drop(go);
        log.stop();
    }

    #[test]
    fn records_after_the_stop_are_counted_as_dropped() {
        let Fixture { log, metrics, go, .. } = fixture(QUEUE);
        drop(go);
        log.stop();
        log.log(record("/late"));
        log.stop();
        assert_eq!(metrics.access_log_dropped().get(), 1);
    }

    #[test]
    fn lines_that_cannot_be_written_are_counted_as_dropped() {
        struct Broken;
        impl Write for Broken {
            fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
                Err(std::io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let metrics = Metrics::new().unwrap();
        let log = AccessLog::start(Box::new(Broken), &metrics).unwrap();
        log.log(record("/"));
        log.log(record("/"));
        log.stop();
        assert_eq!(metrics.access_log_dropped().get(), 2);
    }
}
