//! Lists that are made in less time than it takes to hand them to a request thread and back: those of
//! anonymous sessions, where the model's blend for them is light. The thread that carries the connection
//! makes them.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use super::request::RecommendRequest;
use crate::live::Filter;

/// Mean time up to which lists are quick, in microseconds.
const QUICK: f32 = 50.0;
/// Longest list that may be.
const LONGEST: usize = 100;
/// Weight of a list in the mean.
const SHARE: f32 = 1.0 / 32.0;

/// The mean time of the latest lists of anonymous sessions.
#[derive(Debug)]
pub(super) struct QuickLists {
    /// Bits of an f32, in microseconds.
    mean: AtomicU32,
}

impl Default for QuickLists {
    /// Lists are slow until some were made.
    fn default() -> Self {
        Self { mean: AtomicU32::new((4.0 * QUICK).to_bits()) }
    }
}

impl QuickLists {
    /// Whether a request is for a list that is quick.
    pub(super) fn hold(&self, request: &RecommendRequest) -> bool {
        counts(request) && f32::from_bits(self.mean.load(Ordering::Relaxed)) < QUICK
    }

    /// Makes a list, whose time counts if its request is of the kind that may be quick.
    pub(super) fn timed<T>(&self, request: &RecommendRequest, make: impl FnOnce() -> T) -> T {
        if !counts(request) {
            return make();
        }
        let began = Instant::now();
        let made = make();
        let micros = began.elapsed().as_secs_f32() * 1e6;
        let mean = f32::from_bits(self.mean.load(Ordering::Relaxed));
        // A thread that was interrupted says nothing of the list.
        let seen = micros.min(8.0 * QUICK);
        self.mean.store((mean + SHARE * (seen - mean)).to_bits(), Ordering::Relaxed);
        made
    }
}

/// Whether a request is for a list of an anonymous session and asks for nothing that takes longer. Popular
/// lists, of requests without a session, are light on every store: they would hide what sessions take.
fn counts(request: &RecommendRequest) -> bool {
    let asks_more = request.explain || request.variety.is_some() || request.objective.is_some();
    let asks_other = request.weights.is_some()
        || request.generation.is_some()
        || request.candidates.is_some()
        || request.strategy.is_some();
    request.user_id.is_empty()
        && !request.session.is_empty()
        && request.limit <= LONGEST
        && *request.filter == Filter::default()
        && !asks_more
        && !asks_other
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn lists_are_quick_once_they_were() {
        let session = vec!["item".to_owned()];
        let session = RecommendRequest { session, limit: 20, ..RecommendRequest::default() };
        let lists = QuickLists::default();
        assert!(!lists.hold(&session));
        (0..200).for_each(|_| lists.timed(&session, || ()));
        assert!(lists.hold(&session));

        let of_user = RecommendRequest { user_id: "u".into(), ..session.clone() };
        let explained = RecommendRequest { explain: true, ..session.clone() };
        let long = RecommendRequest { limit: LONGEST + 1, ..session.clone() };
        let popular = RecommendRequest { session: Vec::new(), ..session.clone() };
        let others = [of_user, explained, long, popular.clone()];
        assert!(others.iter().all(|request| !lists.hold(request)));

        let slow = || std::thread::sleep(Duration::from_millis(1));
        (0..40).for_each(|_| lists.timed(&session, slow));
        assert!(!lists.hold(&session), "a model that answers slowly follows");
        (0..200).for_each(|_| lists.timed(&popular, || ()));
        assert!(!lists.hold(&session), "popular lists say nothing of sessions");
    }
}
