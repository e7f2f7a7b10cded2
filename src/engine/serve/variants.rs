//! Which variant of an experiment a request's list is, and lists that interleave two.

use std::sync::Arc;

use super::query::Recommender;
use super::request::{Answer, RecommendRequest};
use crate::domain::quote::quoted;
use crate::domain::{Error, Result, Violation, now_ms};
use crate::experiment::definition::{Experiment, FORCED, HOLDOUT, Method};
use crate::experiment::interleaving::{Drafted, team_draft};
use crate::experiment::{Assigned, assign};
use crate::recommend::Basis;
use crate::recommend::placement::PLAIN;

/// The variant of a list that interleaves two.
const BOTH: &str = "both";

/// What a request's list is of an experiment.
#[derive(Debug, Default)]
pub(super) struct Course {
    /// What is recorded with the list, as "experiment/variant"; empty for none.
    pub(super) variant: String,
    /// The placement whose settings it uses; empty: the one that is asked for.
    pub(super) placement: String,
    /// The placement of the second list that it interleaves.
    pub(super) other: Option<String>,
}

impl Recommender {
    /// What the list of a request for a placement is of an experiment.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a forced variant that no experiment on the placement has.
    pub(super) fn course(&self, request: &RecommendRequest, placement: &str) -> Result<Course> {
        let set = self.state.in_force.experiments();
        for forced in &request.forced_variants {
            let (experiment, variant) = forced.split_once('/').unwrap_or_default();
            let known = set.get(experiment);
            let at = known.and_then(|known| known.variant_at(variant));
            let Some((experiment, at)) = known.zip(at) else {
                let message = format!("must be \"experiment/variant\", was {}", quoted(forced));
                return Err(Violation::new("forced_variants", message).into());
            };
            if experiment.placement == placement {
                let variant = format!("{}/{variant}{FORCED}", experiment.name);
                let placement = experiment.variants[at].placement.clone();
                return Ok(Course { variant, placement, other: None });
            }
        }

        let unit = || self.unit(request);
        let is_in_one = |names: &[String]| !self.segments(self.user(request), names).is_empty();
        Ok(match assign(&set, placement, unit, now_ms(), is_in_one) {
            Assigned::Nothing => Course::default(),
            Assigned::HeldOut => Course { variant: HOLDOUT.to_owned(), ..Course::default() },
            // After a rollback of placements, users see the tested one as it is.
            Assigned::Variant(experiment, _) if !self.has_placements(experiment) => {
                Course::default()
            }
            Assigned::Variant(experiment, at) => course_of(experiment, at),
        })
    }

    /// Whom experiments assign a request to: the user, also where it names an alias, or else the session.
    fn unit(&self, request: &RecommendRequest) -> String {
        if request.user_id.is_empty() {
            return request.session_id.clone();
        }
        let name = self.state.pseudonyms.of(&request.user_id);
        let live = &self.state.live;
        // Without a lease a follower cannot know whose ids were parted.
        let user = live.user(&name).filter(|_| self.state.lease.holds());
        user.map_or_else(|| name.into_owned(), |user| live.users.read().id(user).to_owned())
    }

    fn has_placements(&self, experiment: &Experiment) -> bool {
        let placements = self.state.in_force.placements();
        let is_there = |(_, name): (String, &str)| name == PLAIN || placements.get(name).is_some();
        experiment.placements().all(is_there)
    }

    /// A list that interleaves those of two placements, judged by the same user.
    ///
    /// # Errors
    /// As [`Recommender::show`].
    pub(super) async fn interleaved(
        self: &Arc<Self>,
        request: RecommendRequest,
        placements: [&str; 2],
    ) -> Result<Answer> {
        let mut parts = Vec::with_capacity(2);
        for placement in placements {
            let part = RecommendRequest { is_part: true, ..request.clone() };
            let answer = match self.shown_as(part, placement).await {
                // The other list is shown alone.
                Err(Error::NotFound { .. }) => {
                    Answer::new(self.state.models.generation(), Vec::new(), Basis::Popular)
                }
                answer => answer?,
            };
            parts.push(answer);
        }

        let ids = |answer: &Answer| {
            answer.entries.iter().map(|entry| entry.item_id.clone()).collect::<Vec<_>>()
        };
        let (second, mut first) = (parts.pop(), parts.pop());
        let (Some(first), Some(second)) = (first.take(), second) else {
            return Err(Error::NotReady("a list of the experiment is missing".to_owned()));
        };
        let limit = first.entries.len().max(second.entries.len());
        let drafted = team_draft(&ids(&first), &ids(&second), limit, rand::random());

        let entry = |drafted: &Drafted| {
            let list = if drafted.of_second { &second } else { &first };
            list.entries[drafted.place].clone()
        };
        let entries = drafted.iter().map(entry).collect();
        let teams = drafted.iter().map(|drafted| drafted.team.number()).collect();
        let answer = Answer { entries, teams, ..first };
        self.expose(&answer, &request);
        Ok(answer)
    }
}

fn course_of(experiment: &Experiment, at: usize) -> Course {
    let of = |at: usize| experiment.variants[at].placement.clone();
    match experiment.method {
        Method::Split => Course {
            variant: format!("{}/{}", experiment.name, experiment.variants[at].name),
            placement: of(at),
            other: None,
        },
        Method::Interleaving => Course {
            variant: format!("{}/{BOTH}", experiment.name),
            placement: of(0),
            other: Some(of(1)),
        },
    }
}
