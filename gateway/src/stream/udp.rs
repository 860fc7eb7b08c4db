//! A port of a UDP service. What a client sends goes to one endpoint for as long as its session lasts.
use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use features::{Balance, Streams};
use rustix::net::SendFlags;
use tokio::net::UdpSocket;
use tokio::sync::{Notify, mpsc, watch};

use super::ports::{Shared, Target};
use super::relay::Activity;
use crate::admission::Permit;
use crate::metrics::{OpenStream, StreamOutcome};
use crate::upstream::{Visit, Why};

/// Largest datagram, in bytes.
const DATAGRAM: usize = 65_535;

thread_local! {
    /// What an answer is read into: all sessions of a worker share it, so that none holds a buffer.
    static ANSWER: RefCell<Vec<u8>> = RefCell::new(vec![0; DATAGRAM]);
}

/// How long a session may last on when the gateway drains: answers that are due may come.
const LAST_CALL: Duration = Duration::from_secs(2);

/// A client and the endpoint that it talks to.
struct Session {
    client: SocketAddr,
    /// Connected to the endpoint.
    endpoint: UdpSocket,
    target: Arc<Target>,
    visit: Visit,
    activity: Activity,
    requests: AtomicU64,
    responses: AtomicU64,
    ended: AtomicBool,
    broken: Notify,
    _open: OpenStream,
    _permit: Permit,
}

/// Passes datagrams on until the port is closed; sessions that have begun live on.
pub(super) async fn serve(shared: Arc<Shared>, socket: UdpSocket, mut target: watch::Receiver<Arc<Target>>) {
    let socket = Arc::new(socket);
    let mut sessions: HashMap<SocketAddr, Arc<Session>> = HashMap::new();
    let (over, mut ended) = mpsc::unbounded_channel::<Arc<Session>>();
    let mut datagram = vec![0; DATAGRAM];
    loop {
        tokio::select! {
            received = socket.recv_from(&mut datagram) => {
                // An error is about an earlier answer that a client did not take.
                let Ok((length, client)) = received else { continue };
                let datagram = datagram.get(..length).unwrap_or_default();
                let known = sessions.get(&client).filter(|session| !session.ended.load(Relaxed)).cloned();
                let session = match known {
                    Some(session) => session,
                    None => match begin(&shared, client, &target) {
                        Ok(session) => {
                            sessions.insert(client, session.clone());
                            tokio::spawn(answers(shared.clone(), session.clone(), socket.clone(), over.clone()));
                            session
                        }
                        Err(outcome) => {
                            target.borrow().metrics.connection(outcome);
                            continue;
                        }
                    },
                };
                session.forward(datagram);
            }
            Some(session) = ended.recv() => {
                // A session that has begun in its place stays.
                if sessions.get(&session.client).is_some_and(|now| Arc::ptr_eq(now, &session)) {
                    sessions.remove(&session.client);
                }
            }
            changed = target.changed() => if changed.is_err() { break },
        }
    }
}

fn begin(
    shared: &Arc<Shared>,
    client: SocketAddr,
    target: &watch::Receiver<Arc<Target>>,
) -> Result<Arc<Session>, StreamOutcome> {
    let target = target.borrow().clone();
    let permit = shared.sessions.admit(client.ip()).map_err(|_| StreamOutcome::Limited)?;
    let now = Instant::now();
    let picked = target.cluster.pick(Balance::default(), &[], None, now).ok_or(StreamOutcome::Unreachable)?;
    let visit = Visit::new(picked, &target.cluster, now);
    let endpoint = connect(visit.address()).map_err(|error| {
        tracing::debug!(%error, endpoint = %visit.address(), "an endpoint of a UDP service cannot be reached");
        StreamOutcome::Unreachable
    })?;
    target.metrics.connection(StreamOutcome::Ok);
    Ok(Arc::new(Session {
        client,
        endpoint,
        _open: target.metrics.open(),
        target,
        visit,
        activity: Activity::new(),
        requests: AtomicU64::new(0),
        responses: AtomicU64::new(0),
        ended: AtomicBool::new(false),
        broken: Notify::new(),
        _permit: permit,
    }))
}

fn connect(address: SocketAddr) -> io::Result<UdpSocket> {
    let any: IpAddr = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = std::net::UdpSocket::bind((any, 0))?;
    socket.connect(address)?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket)
}

impl Session {
    fn forward(&self, datagram: &[u8]) {
        self.activity.mark();
        // Past the runtime, which does not know yet that a new socket takes datagrams.
        match rustix::net::send(&self.endpoint, datagram, SendFlags::NOSIGNAL).map_err(io::Error::from) {
            Ok(_) => {
                self.requests.fetch_add(1, Relaxed);
                self.target.metrics.received(datagram.len());
            }
            // As on any network, what does not fit into a full queue is lost.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => self.judge(&error),
        }
    }

    /// An endpoint whose host refuses datagrams leaves the rotation, as with TCP.
    fn judge(&self, error: &io::Error) {
        self.ended.store(true, Relaxed);
        self.broken.notify_one();
        if error.kind() == io::ErrorKind::ConnectionRefused {
            self.visit.failed(&self.target.cluster, Why::Refused);
        }
    }

    /// Has each datagram got its answers?
    fn is_complete(&self, settings: &Streams) -> bool {
        let due = self.requests.load(Relaxed).saturating_mul(settings.responses.into());
        self.responses.load(Relaxed) >= due
    }
}

/// Passes answers on until the session has ended.
async fn answers(
    shared: Arc<Shared>,
    session: Arc<Session>,
    socket: Arc<UdpSocket>,
    over: mpsc::UnboundedSender<Arc<Session>>,
) {
    let alive = shared.alive.subscribe();
    let settings = shared.proxy.live.table().global.streams.clone();
    let mut draining = shared.proxy.draining.clone();
    let last_call = async {
        // An error means that nobody is left who could drain.
        drop(draining.wait_for(|draining| *draining).await);
        tokio::time::sleep(LAST_CALL).await;
    };
    tokio::select! {
        () = pass_answers(&session, &socket, &settings) => {}
        () = session.broken.notified() => {}
        () = session.activity.silence(settings.idle) => {}
        () = last_call => {}
    }
    session.ended.store(true, Relaxed);
    // The port may be closed already.
    over.send(session).ok();
    drop(alive);
}

async fn pass_answers(session: &Session, socket: &UdpSocket, settings: &Streams) {
    // With no answers due, a session is a datagram. Sessions begin before their first one.
    tokio::task::yield_now().await;
    while settings.responses > 0 || !session.is_complete(settings) {
        if let Err(error) = session.endpoint.readable().await {
            return session.judge(&error);
        }
        match answer(session, socket, settings) {
            Ok(true) => return,
            Ok(false) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return session.judge(&error),
        }
        tokio::task::consume_budget().await;
    }
}

/// Passes one answer on; tells whether it was the last.
fn answer(session: &Session, socket: &UdpSocket, settings: &Streams) -> io::Result<bool> {
    ANSWER.with_borrow_mut(|datagram| {
        let length = session.endpoint.try_recv(datagram)?;
        // As on any network, what does not fit into a full queue is lost.
        if socket.try_send_to(datagram.get(..length).unwrap_or_default(), session.client).is_ok() {
            session.target.metrics.sent(length);
        }
        io::Result::Ok(())
    })?;
    session.activity.mark();
    if session.responses.fetch_add(1, Relaxed) == 0 {
        session.visit.connected(&session.target.cluster);
    }
    let complete = session.is_complete(settings);
    if complete {
        // Before anything else runs: the next datagram of the client begins a session of its own.
        session.ended.store(true, Relaxed);
    }
    Ok(complete)
}
