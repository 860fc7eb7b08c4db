//! Hosts that no rule names: aliases of hosts that rules name, and siblings that redirect to them (`www.` or not).
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use features::Route;
use table::{Certificate, HostPattern, Rules, Table};

use crate::object::Kind;
use crate::report::{Note, Severity};
use crate::round::Round;
use crate::snapshot::Key;
use crate::translator::Translator;

/// A host that redirects to another one.
#[derive(Clone, Debug)]
pub(crate) struct Sibling {
    /// Where it redirects to.
    pub(crate) main: HostPattern,
    pub(crate) host: HostPattern,
    pub(crate) rules: Arc<Rules<Route>>,
}

impl Sibling {
    fn is(&self, other: &Self) -> bool {
        self.main == other.main && self.host == other.host && Arc::ptr_eq(&self.rules, &other.rules)
    }
}

/// Are two lists the very same?
pub(crate) fn same(a: &[Sibling], b: &[Sibling]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.is(b))
}

/// What a host wants further: the hosts, and who asks for them.
#[derive(Debug, Default)]
struct Wanted {
    aliases: Option<(Key, Arc<[HostPattern]>)>,
    sibling: Option<(Key, Sibling)>,
    /// Ingresses whose aliases are not used, because an older one has some.
    late: Vec<(Key, Note)>,
}

impl Wanted {
    fn hosts(&self) -> impl Iterator<Item = (HostPattern, bool)> {
        let aliases = self.aliases.iter().flat_map(|(_, list)| list.iter().map(|alias| (alias.clone(), false)));
        aliases.chain(self.sibling.iter().map(|(_, sibling)| (sibling.host.clone(), true)))
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct FurtherHosts {
    by_main: BTreeMap<HostPattern, Wanted>,
    /// Who wants a host: aliases first, then siblings, by the names of their mains.
    wanted: BTreeMap<HostPattern, BTreeSet<(bool, HostPattern)>>,
    /// The main host that each one belongs to.
    placed: BTreeMap<HostPattern, HostPattern>,
    notes: BTreeMap<HostPattern, Vec<(Key, Note)>>,
}

impl FurtherHosts {
    /// The notes of an Ingress with these hosts and aliases.
    pub(crate) fn notes<'a>(
        &'a self,
        key: &'a Key,
        hosts: impl Iterator<Item = &'a HostPattern>,
    ) -> impl Iterator<Item = Note> + 'a {
        let wanted = hosts.filter_map(|host| self.by_main.get(host));
        let notes = wanted.flat_map(|wanted| {
            let further = wanted.hosts().filter_map(|(host, _)| self.notes.get(&host)).flatten();
            wanted.late.iter().chain(further).filter(|(owner, _)| owner == key).map(|(_, note)| note.clone())
        });
        notes.collect::<BTreeSet<_>>().into_iter()
    }
}

/// The name that a certificate must have to serve a further host; none for expressions.
fn name_of(host: &HostPattern) -> Option<HostPattern> {
    match host {
        HostPattern::Below(suffix) => Some(HostPattern::Wildcard(suffix.clone())),
        HostPattern::Exact(_) => Some(host.clone()),
        HostPattern::Wildcard(_) | HostPattern::Regex(_) | HostPattern::Any => None,
    }
}

/// The further host that a rule's host, or a TLS entry's, takes the place of.
fn further_of(host: &HostPattern) -> HostPattern {
    match host {
        HostPattern::Wildcard(suffix) => HostPattern::Below(suffix.clone()),
        host => host.clone(),
    }
}

fn table(round: &Round) -> &Table<Route> {
    round.next.as_ref().unwrap_or(&round.current)
}

impl Translator {
    /// Brings the further hosts of every host that was merged anew up to date, and those that are a host of their own now.
    pub(crate) fn merge_further_hosts(&mut self, round: &mut Round) {
        let mut touched = BTreeSet::new();
        for main in round.merged.clone() {
            let further = further_of(&main);
            if self.further.wanted.contains_key(&further) {
                touched.insert(further);
            }
            let now = self.wanted_by(&main);
            let before = self.further.by_main.remove(&main).unwrap_or_default();
            for (host, is_sibling) in before.hosts() {
                if let Some(mains) = self.further.wanted.get_mut(&host) {
                    mains.remove(&(is_sibling, main.clone()));
                }
                touched.insert(host);
            }
            for (host, is_sibling) in now.hosts().filter(|(host, _)| *host != main) {
                self.further.wanted.entry(host.clone()).or_default().insert((is_sibling, main.clone()));
                touched.insert(host);
            }
            round.noted.extend(before.late.iter().chain(&now.late).map(|(key, _)| key.clone()));
            if now.aliases.is_some() || now.sibling.is_some() {
                self.further.by_main.insert(main, now);
            }
        }
        for host in &touched {
            self.place(host, round);
        }
        round.further = touched;
    }

    /// Of the Ingresses of a host the oldest that has aliases decides about them, and so for the sibling.
    fn wanted_by(&self, main: &HostPattern) -> Wanted {
        let mut wanted = Wanted::default();
        let members = self.rule_hosts.get(main).into_iter().flat_map(|state| &state.members);
        for member in members {
            let Some(part) = self.ingresses.get(&member.key).map(|state| &state.rules) else { continue };
            if !part.aliases.is_empty() {
                match &wanted.aliases {
                    None => wanted.aliases = Some((member.key.clone(), part.aliases.clone())),
                    Some((_, first)) if *first == part.aliases => {}
                    Some((first, _)) => {
                        let message = format!(
                            "host {main} has the aliases of Ingress {first} already, so those of this one have no effect; remove one of them"
                        );
                        wanted.late.push((member.key.clone(), note(&member.key, message)));
                    }
                }
            }
            if wanted.sibling.is_none() {
                let sibling = part.siblings.iter().find(|sibling| sibling.main == *main);
                wanted.sibling = sibling.map(|sibling| (member.key.clone(), sibling.clone()));
            }
        }
        wanted
    }

    fn place(&mut self, host: &HostPattern, round: &mut Round) {
        let mains = self.further.wanted.get(host).cloned().unwrap_or_default();
        if mains.is_empty() {
            self.further.wanted.remove(host);
        }
        let own =
            [Some(host.clone()), name_of(host)].into_iter().flatten().any(|name| self.rule_hosts.contains_key(&name));
        let first = mains.first().filter(|_| !own);
        let mut notes = Vec::new();
        for (is_sibling, main) in &mains {
            let Some(wanted) = self.further.by_main.get(main) else { continue };
            let sibling = wanted.sibling.as_ref().map(|(key, _)| key);
            let alias = wanted.aliases.as_ref().map(|(key, _)| key);
            let Some(key) = (if *is_sibling { sibling } else { alias }) else { continue };
            let what = if *is_sibling { "does not redirect to" } else { "is no alias of" };
            let why = match first {
                None => "it has rules of its own; remove one of the two".to_owned(),
                Some((_, first)) if first == main => continue,
                Some((_, first)) => format!("it belongs to host {first} already; remove one of the two"),
            };
            notes.push((key.clone(), note(key, format!("{host} {what} host {main}, for {why}"))));
        }
        let before = self.further.notes.remove(host).unwrap_or_default();
        round.noted.extend(before.iter().chain(&notes).map(|(key, _)| key.clone()));
        if !notes.is_empty() {
            self.further.notes.insert(host.clone(), notes);
        }
        let rules = first.and_then(|(is_sibling, main)| match is_sibling {
            false => table(round).hosts.get(main).cloned(),
            true => self.further.by_main.get(main)?.sibling.as_ref().map(|(_, sibling)| sibling.rules.clone()),
        });
        let settings =
            first.filter(|(is_sibling, _)| !is_sibling).and_then(|(_, main)| table(round).host_settings.get(main));
        let settings = settings.cloned();
        match first {
            Some((_, main)) => self.further.placed.insert(host.clone(), main.clone()),
            None => self.further.placed.remove(host),
        };
        if self.rule_hosts.contains_key(host) {
            // Its own rules stand there.
            return;
        }
        if table(round).hosts.get(host).map(Arc::as_ptr) != rules.as_ref().map(Arc::as_ptr) {
            round.edit().hosts.set(host, rules);
        }
        if table(round).host_settings.get(host) != settings.as_ref() {
            round.edit().host_settings.set(host, settings);
        }
    }

    /// Gives further hosts the certificates of their main hosts, where these cover them and no TLS entry names them.
    pub(crate) fn certify_further_hosts(&mut self, round: &mut Round) {
        let mut hosts = std::mem::take(&mut round.further);
        for changed in std::mem::take(&mut round.tls_merged) {
            if let Some(wanted) = self.further.by_main.get(&changed) {
                hosts.extend(wanted.hosts().map(|(host, _)| host));
            }
            hosts.insert(further_of(&changed));
        }
        for host in hosts {
            let Some(name) = name_of(&host) else { continue };
            if self.tls_hosts.get(&name).is_some_and(|state| !state.members.is_empty()) {
                continue;
            }
            let main = self.further.placed.get(&host);
            let certificate = main.and_then(|main| table(round).certificates.get(main)).cloned();
            let certificate = certificate.filter(|certificate| self.covers(certificate, &name, round.now));
            if certificate.as_ref().map(Arc::as_ptr) != table(round).certificates.get(&name).map(Arc::as_ptr) {
                round.edit().certificates.set(&name, certificate);
            }
        }
    }

    fn covers(&mut self, certificate: &Certificate, name: &HostPattern, now: i64) -> bool {
        let Some((namespace, secret)) = certificate.source.split_once('/') else { return false };
        let parsed = self.certificates.get(&Key::new(namespace, secret), &self.snapshot, now);
        parsed.is_ok_and(|parsed| parsed.covers(name))
    }
}

fn note(key: &Key, message: String) -> Note {
    let field = "metadata.annotations".to_owned();
    Note { object: key.reference(Kind::Ingress), field, severity: Severity::Warning, reason: "HostTaken", message }
}
