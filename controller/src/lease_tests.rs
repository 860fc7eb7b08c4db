//! However candidates are paused, delayed and set to another time, at most one of them writes.
use super::*;

const TTL: Duration = Duration::from_secs(30);

/// An API server that refuses a write of what has changed meanwhile.
#[derive(Default)]
struct Server {
    lease: Option<Lease>,
    version: u64,
}

impl Server {
    fn write(&mut self, step: Step) -> bool {
        let (wanted, mut lease) = match step {
            Step::Wait => return false,
            Step::Create(lease) => (None, lease),
            Step::Replace(lease) => (lease.metadata.resource_version.clone(), lease),
        };
        if self.lease.as_ref().and_then(|lease| lease.metadata.resource_version.clone()) != wanted {
            return false;
        }
        self.version += 1;
        lease.metadata.resource_version = Some(self.version.to_string());
        self.lease = Some(lease);
        true
    }
}

/// A replica with clocks of its own.
struct Replica {
    candidate: Candidate,
    wall: SystemTime,
    term: Option<Term>,
    /// It does nothing until then.
    busy: Duration,
    /// What it asked and has not sent yet.
    asked: Option<(Moment, Step)>,
}

fn replica(name: &str) -> Replica {
    let candidate = Candidate::new(name.to_owned(), "lease".to_owned(), TTL);
    Replica { candidate, wall: SystemTime::UNIX_EPOCH, term: None, busy: Duration::ZERO, asked: None }
}

impl Replica {
    fn moment(&self, start: Instant, at: Duration) -> Moment {
        Moment { steady: start + at, wall: self.wall + at }
    }

    fn writes(&self, start: Instant, at: Duration) -> bool {
        self.term.is_some_and(|term| term.left(self.moment(start, at)).is_some())
    }

    fn act(&mut self, server: &mut Server, start: Instant, at: Duration) {
        let now = self.moment(start, at);
        match self.asked.take() {
            None => {
                let step = self.candidate.step(server.lease.clone(), now);
                self.asked = Some((now, step));
            }
            Some((asked, step)) => {
                let waits = step == Step::Wait;
                if server.write(step) {
                    self.term = Some(self.candidate.term(asked));
                } else if waits {
                    self.term = None;
                }
            }
        }
    }
}

/// A small generator of numbers, the same every time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

#[test]
fn pauses_delays_and_clock_jumps_leave_at_most_one_writer() {
    let (mut led, mut changed_hands) = (0, 0);
    for seed in 0..200 {
        let (mut dice, mut server, start) = (Dice(seed), Server::default(), Instant::now());
        let mut replicas = [replica("a"), replica("b"), replica("c")];
        let mut last = None;
        for second in 0..600 {
            let at = Duration::from_secs(second);
            for replica in &mut replicas {
                if replica.busy <= at {
                    // Most requests take a second or so, some a minute: a pause, a slow network, a suspended machine.
                    let delay = if dice.below(12) == 0 { dice.below(70) } else { dice.below(6) };
                    replica.act(&mut server, start, at);
                    replica.busy = at + Duration::from_secs(delay);
                }
                if dice.below(50) == 0 {
                    replica.wall = SystemTime::UNIX_EPOCH + Duration::from_secs(dice.below(10_000));
                }
            }
            let writers: Vec<_> = (0..3).filter(|index| replicas[*index].writes(start, at)).collect();
            assert!(writers.len() <= 1, "seed {seed}, second {second}: {writers:?} write");
            led += writers.len();
            if let Some(writer) = writers.first().copied() {
                changed_hands += usize::from(last.replace(writer).is_some_and(|last| last != writer));
            }
        }
    }
    assert!(led > 200 * 100 && changed_hands > 100, "led for {led} s, changed hands {changed_hands} times");
}

#[test]
fn a_lease_that_was_given_back_is_taken_at_once() {
    let (mut server, start) = (Server::default(), Instant::now());
    let (mut one, mut other) = (replica("a"), replica("b"));
    one.act(&mut server, start, Duration::ZERO);
    one.act(&mut server, start, Duration::ZERO);
    assert!(one.writes(start, Duration::ZERO));
    let now = other.moment(start, Duration::ZERO);
    assert_eq!(other.candidate.step(server.lease.clone(), now), Step::Wait);
    let released = one.candidate.released(server.lease.clone().unwrap(), now);
    assert!(server.write(Step::Replace(released)));
    let Step::Replace(lease) = other.candidate.step(server.lease.clone(), now) else { panic!("it waits") };
    assert_eq!(lease.spec.unwrap().lease_transitions, Some(1));
}

#[test]
fn a_stolen_lease_is_noticed() {
    let (mut server, start) = (Server::default(), Instant::now());
    let mut one = replica("a");
    one.act(&mut server, start, Duration::ZERO);
    one.act(&mut server, start, Duration::ZERO);
    let mut stolen = server.lease.clone().unwrap();
    stolen.spec.as_mut().unwrap().holder_identity = Some("thief".to_owned());
    assert!(server.write(Step::Replace(stolen)));
    one.act(&mut server, start, Duration::from_secs(1));
    one.act(&mut server, start, Duration::from_secs(1));
    assert!(!one.writes(start, Duration::from_secs(1)));
}

#[test]
fn a_term_ends_before_anybody_else_may_take_the_lease() {
    let candidate = Candidate::new("a".to_owned(), "lease".to_owned(), TTL);
    let asked = Moment::now();
    let term = candidate.term(asked);
    let later = |seconds| Moment { steady: asked.steady + Duration::from_secs(seconds), wall: asked.wall };
    assert!(term.left(later(19)).is_some() && term.left(later(20)).is_none());
    // The machine was suspended: only the wall clock went on.
    let resumed = Moment { steady: asked.steady, wall: asked.wall + TTL };
    assert!(term.left(resumed).is_none());
}
