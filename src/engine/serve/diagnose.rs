//! Diagnosis: a list with the record of its funnel, and what stands out in it, in words.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::query::Recommender;
use super::request::{Answer, RecommendRequest};
use crate::domain::quote::quoted;
use crate::domain::{Result, now_ms};
use crate::engine::stats::Made;
use crate::model::{Snapshot, Source};
use crate::recommend::{Basis, Restrictions, restrict};
use crate::telemetry::RequestRecord;

/// Items below which it stands out how few a filter leaves.
const FEW: usize = 50;

/// A list and how it came about.
#[derive(Debug)]
pub struct Diagnosis {
    /// The list; it is not recorded as shown.
    pub answer: Answer,
    /// The stages of its funnel, in order.
    pub stages: Vec<StageRecord>,
    /// Items that each restriction removed, in order; none before the first model.
    pub restrictions: Option<Restrictions>,
    /// What stands out, in words.
    pub findings: Vec<String>,
}

/// A stage of a list.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StageRecord {
    /// Its name.
    pub name: &'static str,
    /// The source that it asked; empty for none.
    pub source: &'static str,
    /// Candidates that left it; none where it passes none on.
    pub passed: Option<usize>,
    /// How long it took.
    pub took: Duration,
}

impl Recommender {
    /// A list with the record of its funnel. It is made anew on the calling thread, and is not
    /// counted as shown.
    ///
    /// # Errors
    /// As [`Recommender::recommend`]; [`crate::domain::Error::Invalid`] for an unknown placement.
    pub fn diagnose(&self, request: RecommendRequest) -> Result<Diagnosis> {
        let request = self.personal(request)?;
        let record = Arc::new(RequestRecord::default());
        let request = RecommendRequest { record: Some(record.clone()), explain: true, ..request };
        let snapshot = self.state.models.of_user(&request.user_id);
        let restrictions =
            snapshot.as_ref().map(|snapshot| self.restrictions(snapshot, &request, now_ms()));
        let started = std::time::Instant::now();
        let answer = self.recommend(&request)?;

        let mut before = started;
        let stages = record.take_facts().stages.into_iter().map(|stage| {
            let took = stage.ended.saturating_duration_since(before);
            before = stage.ended;
            StageRecord { name: stage.name, source: stage.source, passed: stage.passed, took }
        });
        let stages: Vec<StageRecord> = stages.collect();
        let findings =
            findings(&request, snapshot.as_deref(), &answer, &stages, restrictions.as_ref());
        Ok(Diagnosis { answer, stages, restrictions, findings })
    }

    /// How many items each restriction of a request removes.
    fn restrictions(
        &self,
        snapshot: &Snapshot,
        request: &RecommendRequest,
        now_ms: i64,
    ) -> Restrictions {
        let user = self.user(request);
        let inputs = self.inputs(user, request, now_ms);
        let rules = self.rules(request);
        self.with_request_shelf(request, user, &rules, now_ms, |shelf, scratch| {
            let query = self.query(request, (&inputs, None), shelf, &|_, _| {});
            restrict::restrictions(snapshot, &query, scratch)
        })
    }
}

/// The sources that propose nothing, where there are any.
fn silent_sources(answer: &Answer, stages: &[StageRecord]) -> Option<String> {
    let retrieved = || stages.iter().filter(|stage| stage.name == "retrieve");
    let silent: Vec<&str> =
        retrieved().filter(|stage| stage.passed == Some(0)).map(|stage| stage.source).collect();
    if silent.is_empty() {
        return None;
    }
    let why = match answer.basis {
        Basis::Session => "the session alone is known",
        _ => "nothing in the user's events speaks to them",
    };
    let (count, asked, names) = (silent.len(), retrieved().count(), silent.join(", "));
    Some(format!("{count} of {asked} sources propose nothing ({names}): {why}"))
}

/// How many items of a list each rule moved.
fn moved_by_rules(answer: &Answer) -> impl Iterator<Item = String> {
    let mut moved: BTreeMap<&str, usize> = BTreeMap::new();
    let reasons = answer.entries.iter().filter_map(|entry| entry.explanation.as_ref());
    for (rule, _) in reasons.flat_map(|explanation| &explanation.rules) {
        *moved.entry(rule).or_default() += 1;
    }
    moved.into_iter().map(|(rule, items)| format!("rule {} moved {items} items", quoted(rule)))
}

/// What stands out of a list.
fn findings(
    request: &RecommendRequest,
    snapshot: Option<&Snapshot>,
    answer: &Answer,
    stages: &[StageRecord],
    restrictions: Option<&Restrictions>,
) -> Vec<String> {
    let mut found = Vec::new();
    if snapshot.is_none() {
        found.push("no model is published yet: the list is of live counts".to_owned());
        return found;
    }

    found.extend(silent_sources(answer, stages));
    if let Some(restrictions) = restrictions {
        if restrictions.left < FEW && restrictions.removed.iter().any(|(_, n)| *n > 0) {
            let (worst, removed) =
                restrictions.removed.iter().max_by_key(|(_, n)| *n).copied().unwrap_or_default();
            found.push(format!(
                "{} of {} items may be offered; {worst} removes most, {removed}",
                restrictions.left, restrictions.items
            ));
        }
        if restrictions.left < request.limit {
            found.push(format!(
                "the list is shorter than asked: {} items may be offered",
                restrictions.left
            ));
        }
    }

    match answer.basis {
        Basis::Popular if request.user_id.is_empty() && request.session.is_empty() => {
            found.push("the request names no user and no session: the list is popular".to_owned());
        }
        Basis::Popular => {
            found.push("the model knows none of the user's events: the list is popular".to_owned());
        }
        Basis::Attributes => {
            found.push(format!(
                "the user has no events: the list is what the cohort {} takes",
                answer.cohort
            ));
        }
        Basis::History | Basis::Session => {}
    }
    found.extend(moved_by_rules(answer));
    let filled = answer.entries.iter().filter(|entry| entry.source == Source::Catalog).count();
    if filled > 0 {
        found.push(format!("{filled} items come from the catalogue: no source had more"));
    }
    if answer.made == Made::Reduced {
        found.push("the deadline was near: the second stage was left out".to_owned());
    }
    found
}
