//! Popularity: distinct buyers in windows of time, and the faded sum.

use super::TrainingData;
use crate::domain::{DAY_MS, EventKind, HistoryEvent};
use crate::matrix::{UserEvents, Weighting, weight};
use crate::model::settings::PopularSettings;
use crate::model::{Popularity, Ranking, Window};

/// Counts every window, as of the newest event.
pub fn train(data: &TrainingData<'_>, settings: &PopularSettings) -> Popularity {
    let events = data.events();
    let now_ms = data.now_ms();
    let matrix = data.matrix(Weighting { half_life_days: settings.half_life_days, counts: 0.0 });
    let counts = |window| Ranking::new(buyers_within(events, window, now_ms));
    let windows = || rayon::join(|| counts(Window::Days7), || counts(Window::Days30));
    let ((days7, days30), all_time) = rayon::join(windows, || counts(Window::AllTime));

    let mut trending = vec![0.0f32; events.items()];
    for (&item, &weight) in matrix.by_user.columns.iter().zip(&matrix.by_user.values) {
        trending[item as usize] += weight;
    }

    Popularity { days7, days30, all_time, trending: Ranking::new(trending) }
}

/// Distinct buyers by item. Where the log has no purchase, every positive signal counts.
pub fn buyers(events: &UserEvents) -> Vec<f32> {
    buyers_within(events, Window::AllTime, 0)
}

/// Distinct buyers by item within the window. Where the log has no purchase, every positive signal
/// counts.
fn buyers_within(events: &UserEvents, window: Window, now_ms: i64) -> Vec<f32> {
    let has_purchases = events.all().iter().any(|e| e.kind == EventKind::Purchase);
    let speaks = |e: &&HistoryEvent| {
        if has_purchases {
            e.kind == EventKind::Purchase
        } else {
            weight::kind_weight(e.kind) > 0.0
        }
    };

    let since_ms = window.days().map_or(i64::MIN, |days| now_ms - days * DAY_MS);
    let mut counts = vec![0.0; events.items()];
    let mut seen_by = vec![u32::MAX; events.items()];
    for user in 0..events.users() {
        let within = events.of(user).iter().filter(|e| e.time_ms > since_ms);
        for event in within.filter(speaks) {
            let item = event.item as usize;
            if std::mem::replace(&mut seen_by[item], user as u32) != user as u32 {
                counts[item] += 1.0;
            }
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    fn event(kind: EventKind, item: u32, day: i64) -> HistoryEvent {
        HistoryEvent::new(kind, item, day * DAY_MS)
    }

    fn trained(log: Vec<(u32, HistoryEvent)>) -> Popularity {
        let events = UserEvents::new(3, 3, log);
        train(&TrainingData::new(&events), &PopularSettings::default())
    }

    #[test]
    fn buyers_count_once_and_only_within_the_window() {
        use EventKind::*;
        let popularity = trained(vec![
            (0, event(Purchase, 0, 0)),
            (1, event(Purchase, 0, 1)),
            (1, event(Purchase, 1, 90)),
            (1, event(Purchase, 1, 99)),
            (2, event(View, 2, 100)),
        ]);
        assert_eq!(popularity.all_time, Ranking::new([2.0, 1.0, 0.0]));
        assert_eq!(popularity.days30, Ranking::new([0.0, 1.0, 0.0]));
        assert_eq!(popularity.days7, Ranking::new([0.0, 1.0, 0.0]));
    }

    #[test]
    fn views_count_where_there_are_no_purchases() {
        let view = event(EventKind::View, 2, 1);
        let popularity =
            trained(vec![(0, view), (1, view), (1, event(EventKind::Impression, 1, 1))]);
        assert_eq!(popularity.days7, Ranking::new([0.0, 0.0, 2.0]));
    }
}
