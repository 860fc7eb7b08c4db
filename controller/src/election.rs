//! Takes, keeps and gives back the Lease that says which replica writes to the API server.
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::sync::watch;

use crate::Election;
use crate::fault::Fault;
use crate::lease::{Candidate, Moment, Step, Term};
use crate::watch::within;

/// Tells whether this replica may write now. Asked before each write.
#[derive(Clone, Debug)]
pub(crate) struct Office {
    /// `None`: nobody else is there who could.
    term: Option<watch::Receiver<Option<Term>>>,
}

impl Office {
    /// Without an election.
    pub(crate) fn always() -> Self {
        Self { term: None }
    }

    /// For how long it may write from now; nothing when it may not.
    pub(crate) fn left(&self) -> Option<Duration> {
        match &self.term {
            None => Some(Duration::MAX),
            Some(term) => (*term.borrow()).and_then(|term| term.left(Moment::now())),
        }
    }

    /// Waits until the term was renewed, won or lost.
    pub(crate) async fn changed(&mut self) {
        let changed = match &mut self.term {
            Some(term) => term.changed().await.is_ok(),
            None => false,
        };
        if !changed {
            // Nor will it: there is no election, or it has ended.
            std::future::pending::<()>().await;
        }
    }
}

/// One who stands for election, again and again.
pub(crate) struct Stand {
    leases: Api<Lease>,
    candidate: Candidate,
    name: String,
    namespace: String,
    patience: Duration,
    term: watch::Sender<Option<Term>>,
    leader: watch::Sender<Option<bool>>,
    failing: bool,
}

impl Stand {
    /// Stands as `identity`. What comes of it is told through the office and through `leader`.
    pub(crate) fn new(
        client: Client,
        election: &Election,
        identity: String,
        leader: watch::Sender<Option<bool>>,
    ) -> (Self, Office) {
        let (term, office) = watch::channel(None);
        let namespace = election.namespace.clone().unwrap_or_else(|| client.default_namespace().to_owned());
        let stand = Self {
            leases: Api::namespaced(client, &namespace),
            candidate: Candidate::new(identity, election.id.clone(), election.ttl),
            name: election.id.clone(),
            namespace,
            // Two requests make a round; a round that takes longer than the pause between two is of no use.
            patience: election.ttl / 8,
            term,
            leader,
            failing: false,
        };
        (stand, Office { term: Some(office) })
    }

    /// Stands until `stop`, and then gives the lease back.
    pub(crate) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        loop {
            let round = self.round().await;
            self.tell(&round);
            self.settle(&round);
            let pause = self.candidate.pause();
            let left = (*self.term.borrow()).and_then(|term| term.left(Moment::now()));
            // The end of a term is told when it comes, not with the next round.
            let wait = left.map_or(pause, |left| left.min(pause));
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                // An error means that nobody is left who could say it later.
                _ = stop.wait_for(|stop| *stop) => break,
            }
        }
        self.give_back().await;
    }

    /// One round: the term that it brought, if it did.
    async fn round(&mut self) -> Result<Option<Term>, Fault> {
        let asked = Moment::now();
        let lease = within(self.patience, "the lease", self.leases.get_opt(&self.name)).await?;
        let post = PostParams::default();
        match self.candidate.step(lease, asked) {
            Step::Wait => return Ok(None),
            Step::Create(lease) => within(self.patience, "the lease", self.leases.create(&post, &lease)).await?,
            Step::Replace(lease) => {
                within(self.patience, "the lease", self.leases.replace(&self.name, &post, &lease)).await?
            }
        };
        Ok(Some(self.candidate.term(asked)))
    }

    fn settle(&self, round: &Result<Option<Term>, Fault>) {
        match round {
            Ok(term) => drop(self.term.send_replace(*term)),
            // Somebody was faster. A term that still lasts does; the next round tells whose the lease is.
            Err(_) => {
                self.term.send_if_modified(|term| {
                    let over = term.is_some_and(|held| held.left(Moment::now()).is_none());
                    if over {
                        *term = None;
                    }
                    over
                });
            }
        }
        let leads = (*self.term.borrow()).is_some_and(|term| term.left(Moment::now()).is_some());
        let was = self.leader.send_replace(Some(leads));
        match (was, leads) {
            (Some(true), false) => tracing::info!(lease = self.name, "this replica no longer leads"),
            (None | Some(false), true) => tracing::info!(lease = self.name, "this replica leads"),
            (Some(true), true) | (None | Some(false), false) => {}
        }
    }

    fn tell(&mut self, round: &Result<Option<Term>, Fault>) {
        let failed = match round {
            Err(fault) if !fault.is_conflict() => Some(fault),
            Ok(_) | Err(_) => None,
        };
        if let Some(fault) = failed.filter(|_| !self.failing) {
            let (lease, namespace) = (&self.name, &self.namespace);
            if fault.is_forbidden() {
                tracing::error!(
                    "the Lease {namespace}/{lease} may not be used, so that this replica writes neither status nor events; grant \
                     get, create and update on leases of apiGroup \"coordination.k8s.io\" in a Role of namespace {namespace}"
                );
            } else {
                tracing::warn!(lease, namespace, error = %fault, "the election fails and is tried again; traffic does not depend on it");
            }
        }
        self.failing = failed.is_some();
    }

    async fn give_back(mut self) {
        self.term.send_replace(None);
        self.leader.send_replace(Some(false));
        let now = Moment::now();
        let Ok(Some(lease)) = within(self.patience, "the lease", self.leases.get_opt(&self.name)).await else { return };
        if self.candidate.holds(&lease) {
            let lease = self.candidate.released(lease, now);
            let post = PostParams::default();
            let given = self.leases.replace(&self.name, &post, &lease);
            if let Err(fault) = within(self.patience, "the lease", given).await {
                self.tell(&Err(fault));
            }
        }
    }
}
