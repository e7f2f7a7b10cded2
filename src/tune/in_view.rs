//! Decides whether sessions are offered the item in view: some shops' visitors come straight back to
//! it, or load its page again, and in others it only takes a place.

use super::Tuner;
use super::compare::{is_better, mean};
use super::trials::TrialSnapshot;
use super::tuned::Fitted;
use crate::evaluate::Case;
use crate::model::Settings;

impl Tuner<'_> {
    /// The same fit where the item in view may be offered, if it is better by more than chance;
    /// otherwise `fitted`.
    pub(super) fn with_item_in_view(
        &self,
        trials: &mut TrialSnapshot<'_>,
        cases: &[Case],
        mut settings: Settings,
        fitted: Fitted,
    ) -> Fitted {
        settings.session.in_view = true;
        let with = self.fitted(trials, cases, settings);

        let without = trials.ndcg_of_lists(&fitted.settings, cases);
        let ndcg = trials.ndcg_of_lists(&with.settings, cases);
        let better = is_better(&ndcg, &without);
        let (ndcg, without) = (mean(&ndcg), mean(&without));
        tracing::debug!(ndcg, without, better, "trial of the item in view");
        if better { with } else { fitted }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;
    use crate::domain::progress::Control;
    use crate::domain::{EventKind, HistoryEvent};
    use crate::matrix::UserEvents;
    use crate::tune::{Budget, Task};

    /// Visitors view items of their own ten; each view is `times` views of the same item.
    fn offers_item_in_view(times: u32) -> bool {
        let view = |(user, n): (u32, u32)| {
            let item = user % 10 * 10 + (user / 10 + n / times * 3) % 10;
            let time_ms = i64::from(user) * 10_000_000 + i64::from(n) * 1_000;
            (user, HistoryEvent::new(EventKind::View, item, time_ms))
        };
        let all = (0..400).flat_map(|user| (0..8).map(move |n| (user, n)));
        let events = UserEvents::new(400, 100, all.map(view).collect());

        let cancel = AtomicBool::new(false);
        let control = Control::new(&|_| {}, &cancel);
        let tuner = Tuner::new(&events, Settings::default(), 1, &control);
        let tuned = tuner.tune(Task::NextItem, Budget::new(10, None)).unwrap();
        tuned.settings.session.in_view
    }

    #[test]
    fn it_is_offered_where_visitors_view_it_again() {
        assert!(offers_item_in_view(2));
        assert!(!offers_item_in_view(1));
    }
}
