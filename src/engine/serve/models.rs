//! Compares two kept models by their settings and their lists.

use std::sync::Arc;

use super::comparison::{COMPARED, Comparison, Difference, compared_ids, differences};
use super::query::Recommender;
use super::request::RecommendRequest;
use crate::domain::{Generation, Result, UserIdx, now_ms};
use crate::engine::state::State;
use crate::model::Snapshot;

impl Recommender {
    /// Compares two kept models: the settings that differ, and the lists that the `users` most
    /// recent users get now. May read models from disk: call it from a thread that may block.
    ///
    /// # Errors
    /// [`crate::domain::Error::NotFound`] where one is not kept,
    /// [`crate::domain::Error::Storage`] where it cannot be read.
    pub fn compare_models(
        &self,
        one: Generation,
        other: Generation,
        users: usize,
    ) -> Result<(Vec<Difference>, Comparison)> {
        let one = self.state.models.load(one)?;
        let other = self.state.models.load(other)?;
        let mut lists = Comparison::default();
        let now_ms = now_ms();
        for user in newest_users(&self.state, users) {
            let request = RecommendRequest { limit: COMPARED, ..Default::default() };
            let list = |snapshot: &Arc<Snapshot>| {
                compared_ids(&self.answer_from(snapshot, Some(user), &request, now_ms, None))
            };
            lists.note(&list(&one), &list(&other));
            if self.state.closing.has_begun() {
                break;
            }
        }
        Ok((differences(&one.manifest.settings, &other.manifest.settings), lists))
    }

    /// How the shadow's lists compare so far, and its mean seconds a list, if this generation
    /// is the shadow.
    pub fn shadow_comparison(&self, generation: Generation) -> Option<(Comparison, f64)> {
        self.shadow.comparison(generation)
    }
}

/// The users with the newest events, at most `max`, newest first.
fn newest_users(state: &State, max: usize) -> Vec<UserIdx> {
    let count = state.live.users.read().len() as UserIdx;
    let newest = |user| state.live.histories.of(user, |h| h.last().map(|e| e.time_ms));
    let mut seen: Vec<(i64, UserIdx)> =
        (0..count).filter_map(|user| Some((newest(user)?, user))).collect();
    seen.sort_unstable_by_key(|&(time_ms, user)| (std::cmp::Reverse(time_ms), user));
    seen.into_iter().take(max).map(|(_, user)| user).collect()
}
