//! Sessions for VMIS-kNN (Kersbergen, Sprangers and Schelter, "Serenade", SIGMOD 2022): a user's
//! events, cut at long pauses.

use rayon::prelude::*;

use crate::domain::{HistoryEvent, ItemIdx};
use crate::matrix::recent::PAUSE_MS;
use crate::matrix::weight::kind_weight;
use crate::matrix::{Csr, UserEvents};
use crate::model::Sessions;
use crate::model::settings::SessionSettings;

/// A user's events, oldest first, session by session.
pub fn visits(history: &[HistoryEvent]) -> impl Iterator<Item = &[HistoryEvent]> {
    history.chunk_by(|a, b| b.time_ms - a.time_ms <= PAUSE_MS)
}

/// Collects sessions of at least two items, and each item's newest of them.
pub fn train(events: &UserEvents, settings: &SessionSettings) -> Sessions {
    let of_user = |user| {
        let sessions = visits(events.of(user)).filter_map(|visit| {
            let said = visit.iter().filter(|e| kind_weight(e.kind) > 0.0);
            let mut items: Vec<ItemIdx> = said.map(|e| e.item).collect();
            items.sort_unstable();
            items.dedup();
            (items.len() > 1).then(|| (visit.last().map_or(0, |e| e.time_ms), items))
        });
        sessions.collect::<Vec<(i64, Vec<ItemIdx>)>>()
    };
    let mut sessions: Vec<_> = (0..events.users()).into_par_iter().flat_map_iter(of_user).collect();

    sessions.par_sort_unstable();
    let count = sessions.len() as f32;
    let entries = sessions.iter().map(|session| session.1.len()).sum();
    let mut items = Csr::with_capacity(events.items(), entries);
    sessions
        .into_iter()
        .for_each(|session| items.push_row(session.1.into_iter().map(|i| (i, 1.0))));
    let by_item = items.transpose();
    let newest = (0..by_item.rows())
        .into_par_iter()
        .map(|item| {
            let mut row: Vec<_> = by_item.pairs(item).collect();
            row.reverse();
            row.truncate(settings.sessions_per_item);
            row
        })
        .collect();

    let idf = (0..by_item.rows())
        .map(|item| match by_item.degree(item) {
            0 => 0.0,
            n => (count / n as f32).ln(),
        })
        .collect();
    Sessions { newest: Csr::from_rows(items.rows(), newest), idf, items }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::EventKind;

    #[test]
    fn pauses_cut_sessions_and_the_newest_come_first() {
        let view = |item, minutes: i64| HistoryEvent::new(EventKind::View, item, minutes * 60_000);
        let log = vec![
            (0, view(0, 0)),
            (0, view(1, 10)),
            (0, view(1, 1_000)),
            (0, view(2, 1_010)),
            (1, view(1, 500)),
            (1, view(0, 501)),
            (2, view(2, 0)),
        ];

        let settings = SessionSettings { sessions_per_item: 2, ..Default::default() };
        let sessions = train(&UserEvents::new(3, 3, log), &settings);
        let rows: Vec<_> = (0..sessions.items.rows()).map(|s| sessions.items.row(s).0).collect();
        assert_eq!(rows, [[0, 1], [0, 1], [1, 2]]);
        assert_eq!(sessions.newest.row(1).0, [2, 1], "the oldest of three is left out");
        assert!((sessions.idf[2] - 3f32.ln()).abs() < 1e-6 && sessions.idf[1] == 0.0);
    }
}
