//! Which events are due: once when there is a reason, again from time to time while it lasts, and never too many.
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use translate::{Note, ObjectRef, Severity};

/// The API server forgets an event after an hour; what still holds is told again before.
const AGAIN: Duration = Duration::from_secs(30 * 60);
/// What comes and goes is not told more often than this.
const FLAPPING: Duration = Duration::from_secs(5 * 60);
/// What happens again and again is not told more often than this.
const OFTEN: Duration = Duration::from_secs(60);
/// After a failure to post.
const RETRY: Duration = Duration::from_secs(30);
/// Most events that hold for one object; the worst count.
const PER_OBJECT: usize = 20;
/// Events at once, and a second later on.
const BURST: f64 = 100.0;
const PER_SECOND: f64 = 10.0;
/// Most events that are remembered.
const MOST: usize = 20_000;

/// What tells an event from others.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct What {
    /// What it is about.
    pub(crate) object: ObjectRef,
    /// False for something that is as it should be.
    pub(crate) warning: bool,
    /// One word.
    pub(crate) reason: String,
    /// A sentence.
    pub(crate) message: String,
}

/// An event to post.
#[derive(Clone, Debug)]
pub(crate) struct Due {
    pub(crate) what: What,
    pub(crate) uid: Option<Arc<str>>,
    /// How often it was posted, as far as is known.
    pub(crate) count: Option<i32>,
}

#[derive(Debug)]
struct Entry {
    uid: Option<Arc<str>>,
    /// There is still a reason; otherwise it is only remembered that it was posted.
    holds: bool,
    /// It happened, and is not told again.
    once: bool,
    next: Instant,
    posted: Option<Instant>,
    count: Option<i32>,
}

/// All events that there is a reason for.
#[derive(Debug)]
pub(crate) struct EventBook {
    entries: BTreeMap<What, Entry>,
    tokens: f64,
    filled: Instant,
}

impl EventBook {
    /// Empty.
    pub(crate) fn new(now: Instant) -> Self {
        Self { entries: BTreeMap::new(), tokens: BURST, filled: now }
    }

    /// These notes hold for an object now. Infos are no events, but for annotations that differ from ingress-nginx.
    pub(crate) fn hold(&mut self, object: &ObjectRef, uid: Option<&Arc<str>>, notes: &[Note], now: Instant) {
        let mut worst: Vec<_> =
            notes.iter().filter(|note| note.severity > Severity::Info || note.verdict().is_some()).collect();
        worst.sort_by_key(|note| std::cmp::Reverse(note.severity));
        let wanted: BTreeSet<_> = worst.into_iter().take(PER_OBJECT).map(what).collect();
        for (_, entry) in self.of(object).filter(|(what, entry)| !entry.once && !wanted.contains(what)) {
            entry.holds = false;
        }
        wanted.into_iter().for_each(|what| self.add(what, uid, false, FLAPPING, now));
    }

    /// Something happened to an object.
    pub(crate) fn happened(&mut self, what: What, uid: Option<&Arc<str>>, now: Instant) {
        self.add(what, uid, true, Duration::ZERO, now);
    }

    /// Something happened to an object that may go on and on: told again after a while only.
    pub(crate) fn happens(&mut self, what: What, uid: Option<&Arc<str>>, now: Instant) {
        self.add(what, uid, true, OFTEN, now);
    }

    fn add(&mut self, what: What, uid: Option<&Arc<str>>, once: bool, pause: Duration, now: Instant) {
        if self.entries.len() >= MOST && !self.entries.contains_key(&what) {
            return;
        }
        let fresh = Entry { uid: None, holds: false, once, next: now, posted: None, count: None };
        let entry = self.entries.entry(what).or_insert(fresh);
        // An object that was deleted and made again is another one, and so are its events.
        if entry.uid.as_ref() != uid {
            *entry = Entry { uid: uid.cloned(), holds: false, once, next: now, posted: None, count: None };
        }
        if once || !entry.holds {
            entry.holds = true;
            entry.next = entry.posted.map_or(now, |posted| now.max(posted + pause));
        }
    }

    fn of<'a>(&'a mut self, object: &ObjectRef) -> impl Iterator<Item = (&'a What, &'a mut Entry)> {
        let first = What { object: object.clone(), warning: false, reason: String::new(), message: String::new() };
        let object = object.clone();
        self.entries.range_mut(first..).take_while(move |(what, _)| what.object == object)
    }

    /// Events to post now, the warnings first. Each is taken to be posted unless [`EventBook::failed`] says otherwise.
    pub(crate) fn due(&mut self, now: Instant) -> Vec<Due> {
        self.entries.retain(|_, entry| entry.holds || entry.posted.is_some_and(|posted| now < posted + FLAPPING));
        self.refill(now);
        let mut due = Vec::new();
        for warning in [true, false] {
            let entries = self.entries.iter_mut().filter(|(what, _)| what.warning == warning);
            for (what, entry) in entries.filter(|(_, entry)| entry.holds && entry.next <= now) {
                if self.tokens < 1.0 {
                    return due;
                }
                self.tokens -= 1.0;
                entry.next = now + AGAIN;
                entry.posted = Some(now);
                entry.holds = !entry.once;
                due.push(Due { what: what.clone(), uid: entry.uid.clone(), count: entry.count });
            }
        }
        due
    }

    /// When [`EventBook::due`] has something to say.
    pub(crate) fn next(&self, now: Instant) -> Option<Instant> {
        let next = self.entries.values().filter(|entry| entry.holds).map(|entry| entry.next).min()?;
        let token = if self.tokens < 1.0 { now + Duration::from_secs_f64(1.0 / PER_SECOND) } else { now };
        Some(next.max(token))
    }

    /// It was posted so often by now.
    pub(crate) fn posted(&mut self, what: &What, count: i32) {
        if let Some(entry) = self.entries.get_mut(what) {
            entry.count = Some(count);
        }
    }

    /// It could not be posted.
    pub(crate) fn failed(&mut self, what: &What, now: Instant) {
        if let Some(entry) = self.entries.get_mut(what) {
            entry.holds |= entry.once;
            entry.next = now + RETRY;
        }
    }

    /// Whoever wrote before may not have told everything.
    pub(crate) fn start_over(&mut self, now: Instant) {
        for entry in self.entries.values_mut().filter(|entry| entry.posted.is_none()) {
            entry.next = now;
        }
    }

    fn refill(&mut self, now: Instant) {
        let seconds = now.saturating_duration_since(self.filled).as_secs_f64();
        self.tokens = (self.tokens + seconds * PER_SECOND).min(BURST);
        self.filled = now;
    }
}

fn what(note: &Note) -> What {
    let message =
        if note.field.is_empty() { note.message.clone() } else { format!("{}: {}", note.field, note.message) };
    let warning = note.severity > Severity::Info;
    What { object: note.object.clone(), warning, reason: note.reason.to_owned(), message }
}

#[cfg(test)]
mod tests {
    use super::*;
    use translate::Kind;

    fn object(name: &str) -> ObjectRef {
        ObjectRef { kind: Kind::Ingress, namespace: "d".into(), name: name.into() }
    }

    fn note(name: &str, severity: Severity, message: &str) -> Note {
        Note { object: object(name), field: "spec".to_owned(), severity, reason: "Bad", message: message.to_owned() }
    }

    fn hold(book: &mut EventBook, name: &str, messages: &[&str], now: Instant) {
        let notes: Vec<_> = messages.iter().map(|message| note(name, Severity::Error, message)).collect();
        book.hold(&object(name), Some(&"u".into()), &notes, now);
    }

    fn due(book: &mut EventBook, now: Instant) -> Vec<String> {
        book.due(now).into_iter().map(|due| due.what.message).collect()
    }

    #[test]
    fn an_event_is_told_once_and_again_while_it_holds() {
        let now = Instant::now();
        let mut book = EventBook::new(now);
        hold(&mut book, "a", &["x"], now);
        assert_eq!(due(&mut book, now), ["spec: x"]);
        hold(&mut book, "a", &["x"], now);
        assert!(due(&mut book, now + AGAIN / 2).is_empty());
        assert_eq!(book.next(now), Some(now + AGAIN));
        assert_eq!(due(&mut book, now + AGAIN), ["spec: x"]);
        hold(&mut book, "a", &[], now);
        assert!(due(&mut book, now + 3 * AGAIN).is_empty() && book.entries.is_empty());
    }

    #[test]
    fn what_flaps_is_not_told_each_time() {
        let now = Instant::now();
        let mut book = EventBook::new(now);
        let mut told = 0;
        for second in 0..60 {
            let at = now + Duration::from_secs(second);
            hold(&mut book, "a", if second % 2 == 0 { &["x"] } else { &[] }, at);
            told += due(&mut book, at).len();
        }
        assert_eq!(told, 1);
        hold(&mut book, "a", &["x"], now + FLAPPING);
        assert_eq!(due(&mut book, now + FLAPPING).len(), 1);
    }

    #[test]
    fn infos_are_no_events_and_errors_come_before_warnings() {
        let now = Instant::now();
        let mut book = EventBook::new(now);
        let mut notes: Vec<_> = (0..30).map(|index| note("a", Severity::Warning, &format!("w{index:02}"))).collect();
        notes.push(note("a", Severity::Info, "i"));
        notes.push(note("a", Severity::Error, "e"));
        book.hold(&object("a"), None, &notes, now);
        let told = due(&mut book, now);
        assert_eq!(told.len(), PER_OBJECT);
        assert!(told.contains(&"spec: e".to_owned()) && !told.contains(&"spec: i".to_owned()));
    }

    #[test]
    fn a_flood_waits_and_warnings_go_first() {
        let now = Instant::now();
        let mut book = EventBook::new(now);
        for index in 0..300 {
            let what = |reason: &str| What {
                object: object(&format!("o{index}")),
                warning: false,
                reason: reason.to_owned(),
                message: String::new(),
            };
            book.happened(what("Sync"), None, now);
        }
        hold(&mut book, "z", &["x"], now);
        let first = book.due(now);
        assert_eq!((first.len(), first[0].what.warning), (100, true));
        assert!(book.due(now).is_empty() && book.next(now).is_some_and(|next| next > now));
        assert_eq!(book.due(now + Duration::from_secs(1)).len(), 10);
    }

    #[test]
    fn what_goes_on_and_on_is_told_once_a_minute() {
        let now = Instant::now();
        let mut book = EventBook::new(now);
        let what = What { object: object("a"), warning: true, reason: "Ejected".to_owned(), message: "m".to_owned() };
        let mut told = 0;
        for second in 0..180 {
            let at = now + Duration::from_secs(second);
            book.happens(what.clone(), None, at);
            told += book.due(at).len();
        }
        assert_eq!(told, 3);
    }

    #[test]
    fn what_happens_again_is_told_again_and_counted() {
        let now = Instant::now();
        let mut book = EventBook::new(now);
        let what = What { object: object("a"), warning: false, reason: "Sync".to_owned(), message: "m".to_owned() };
        book.happened(what.clone(), None, now);
        assert_eq!(book.due(now)[0].count, None);
        book.posted(&what, 1);
        book.happened(what.clone(), None, now);
        assert_eq!(book.due(now)[0].count, Some(1));
        assert!(book.due(now).is_empty());
        book.happened(what.clone(), Some(&"other".into()), now);
        assert_eq!(book.due(now)[0].count, None, "another object of the same name");
        book.failed(&what, now);
        assert_eq!(book.due(now + RETRY).len(), 1);
    }
}
