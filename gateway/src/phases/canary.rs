//! Does the canary of a rule's cluster get a request?
use std::sync::Arc;

use features::{Balance, Edits, Route};
use pingora_proxy::Session;
use table::{RequestHost, Rule};

use super::{plan, route};
use crate::context::Context;
use crate::proxy::Proxy;
use crate::upstream::{Canary, Cluster};

/// The canary that a request goes to.
pub(crate) struct Chosen {
    canary: Arc<Canary>,
    /// What its endpoint is chosen by.
    key: Option<u64>,
}

impl Chosen {
    /// Who answers.
    pub(crate) fn cluster(&self) -> &Arc<Cluster> {
        &self.canary.cluster
    }

    /// How its endpoints are chosen from.
    pub(crate) fn balance(&self, rule: &Rule<Route>) -> Balance {
        self.canary.terms.balance(rule.policy.balance)
    }
}

/// How an endpoint is chosen, and the key that it is chosen by.
pub(crate) fn way(
    rule: &Rule<Route>,
    detoured: bool,
    canary: Option<&Chosen>,
    edits: Option<&Edits>,
) -> (Balance, Option<u64>) {
    match canary {
        Some(chosen) if !detoured => (chosen.balance(rule), chosen.key),
        _ => (rule.policy.balance, edits.and_then(|edits| edits.key)),
    }
}

/// Decides on a request that its rule lets pass and whose own cluster has endpoints. A canary without endpoints leaves its
/// requests to that one.
pub(crate) fn choose(proxy: &Proxy, session: &Session, context: &mut Context) {
    let Some(rule) = &context.rule else { return };
    let Some(main) = proxy.handles(rule).and_then(|handles| handles.cluster.as_ref()) else { return };
    let Some(canary) = main.canary() else { return };
    let assigned = context.edits.as_ref().and_then(|edits| edits.assigned);
    let decision = canary.terms.decide(&session.req_header().headers, assigned, main.identity);
    if !decision.is_canary(|| fastrand::u32(..)) || !canary.cluster.has_untried(&[]) {
        return;
    }
    let balance = rule.policy.balance;
    let key = if canary.terms.has_key(balance) {
        let host = RequestHost::parse(route::authority(session.req_header()));
        let request = plan::view(rule, session, host.as_ref().map_or("", RequestHost::as_str), context);
        canary.terms.key(balance, &request, context.edits.as_deref())
    } else {
        None
    };
    context.canary = Some(Box::new(Chosen { canary, key }));
}
