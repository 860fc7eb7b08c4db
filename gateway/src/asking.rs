//! Finds out what features ask: whether a password is right, and what another server says.
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use aws_lc_rs::{digest, hmac, rand};
use features::{Ask, Exchange, PasswordCheck, Reply};
use http::HeaderMap;
use tokio::sync::Semaphore;

use crate::Error;
use crate::nonces::Nonces;
use crate::remember::{Digest, Memory};
use crate::subrequest::{Patience, Subrequests};

/// Passwords that were right and are not computed again.
const VERIFIED: usize = 16_384;

/// For how long. A password that is changed is another check, so this is not how long an old one lives.
const VERIFIED_FOR: Duration = Duration::from_secs(600);

/// Checks that wait for a core: more are refused rather than to make everybody wait.
const WAITING: usize = 256;

/// Answers of authentication services that are kept, and the size of their fields in bytes.
const ANSWERS: usize = 16_384;
const ANSWER_BYTES: usize = 8192;

/// How long an authentication service may take (nginx's `proxy_read_timeout`), and what it may answer.
const PATIENCE: Patience = Patience { time: Duration::from_secs(60), body: 1024 * 1024 };

/// What finds things out. What was found out is shared by all workers, connections are not.
#[derive(Clone)]
pub(crate) struct Asking {
    shared: Arc<Shared>,
    subrequests: Arc<Subrequests>,
}

struct Shared {
    /// Nobody outside of this process can compute the digest of a password.
    key: hmac::Key,
    nonces: Nonces,
    verified: Memory<()>,
    answers: Memory<Arc<(u16, HeaderMap)>>,
    cores: Arc<Semaphore>,
    waiting: AtomicUsize,
}

impl Asking {
    /// Knows nothing yet.
    pub(crate) fn new() -> Result<Self, Error> {
        let failed = |_| Error("the system has no random numbers; the gateway needs some for keys".to_owned());
        let key = || hmac::Key::generate(hmac::HMAC_SHA256, &rand::SystemRandom::new()).map_err(failed);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let shared = Shared {
            key: key()?,
            nonces: Nonces::new(key()?),
            verified: Memory::new(VERIFIED),
            answers: Memory::new(ANSWERS),
            cores: Arc::new(Semaphore::new(cores)),
            waiting: AtomicUsize::new(0),
        };
        Ok(Self { shared: Arc::new(shared), subrequests: Arc::new(Subrequests::new()?) })
    }

    /// The same knowledge with connections of a worker's own.
    pub(crate) fn of_worker(&self) -> Self {
        Self { shared: self.shared.clone(), subrequests: Arc::new(self.subrequests.anew()) }
    }

    /// Nonces of digest authentication.
    pub(crate) fn nonces(&self) -> &Nonces {
        &self.shared.nonces
    }

    /// The connections of this worker.
    pub(crate) fn subrequests(&self) -> Arc<Subrequests> {
        self.subrequests.clone()
    }

    /// Finds something out.
    pub(crate) async fn ask(&self, ask: Ask) -> Reply {
        match ask {
            Ask::Password(check) => self.password(check).await,
            Ask::Exchange(exchange) => self.exchange(*exchange).await,
        }
    }

    async fn password(&self, check: PasswordCheck) -> Reply {
        if !check.is_slow() {
            return Reply::Password(check.passes());
        }
        let digest = self.shared.digest_of(&check);
        if self.shared.verified.get(&digest, Instant::now()).is_some() {
            return Reply::Password(true);
        }
        let Some(passes) = self.shared.compute(check).await else { return Reply::Nothing };
        if passes {
            self.shared.verified.put(digest, (), Instant::now() + VERIFIED_FOR);
        }
        Reply::Password(passes)
    }

    async fn exchange(&self, exchange: Exchange) -> Reply {
        let Exchange { method, uri, fields, stored, keep } = exchange;
        let key = stored.as_ref().map(|stored| digest_of(stored.key.as_bytes()));
        if let Some(kept) = key.and_then(|key| self.shared.answers.get(&key, Instant::now())) {
            return Reply::Response(kept.0, kept.1.clone());
        }
        let mut request = http::Request::new(bytes::Bytes::new());
        (*request.method_mut(), *request.uri_mut(), *request.headers_mut()) = (method, uri, fields);
        let response = match self.subrequests.send_keeping(request, PATIENCE, keep).await {
            Ok(response) => response.into_parts().0,
            Err(error) => {
                tracing::warn!(%error, "the authentication service did not answer");
                return Reply::Nothing;
            }
        };
        let status = response.status.as_u16();
        let lifetime = stored.and_then(|stored| stored.lifetime(status, &response.headers));
        if let (Some(key), Some(lifetime)) = (key, lifetime)
            && let Some(expires) = Instant::now().checked_add(lifetime)
            && size(&response.headers) <= ANSWER_BYTES
        {
            self.shared.answers.put(key, Arc::new((status, response.headers.clone())), expires);
        }
        Reply::Response(status, response.headers)
    }
}

fn size(fields: &HeaderMap) -> usize {
    fields.iter().map(|(name, value)| name.as_str().len() + value.len()).sum()
}

fn digest_of(bytes: &[u8]) -> Digest {
    let mut out = Digest::default();
    out.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    out
}

impl Shared {
    fn digest_of(&self, check: &PasswordCheck) -> Digest {
        let mut context = hmac::Context::with_key(&self.key);
        for part in check.secret() {
            context.update(part);
        }
        let mut out = Digest::default();
        out.copy_from_slice(context.sign().as_ref());
        out
    }

    /// Computes a check beside the worker, as many at a time as there are cores. Nothing when too many wait.
    async fn compute(&self, check: PasswordCheck) -> Option<bool> {
        let waiting = Waiting::new(&self.waiting)?;
        let permit = self.cores.clone().acquire_owned().await.ok()?;
        drop(waiting);
        let computed = tokio::task::spawn_blocking(move || {
            let passes = check.passes();
            drop(permit);
            passes
        });
        computed.await.ok()
    }
}

/// One place in the queue.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Option<Self> {
        let waiting = Self(count);
        (count.fetch_add(1, Ordering::Relaxed) < WAITING).then_some(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_takes_nobody() {
        let count = AtomicUsize::new(WAITING - 1);
        let last = Waiting::new(&count);
        assert!(last.is_some() && Waiting::new(&count).is_none());
        drop(last);
        assert_eq!(count.load(Ordering::Relaxed), WAITING - 1);
        assert!(Waiting::new(&count).is_some());
    }
}
