//! Time that a training spends on each stage, and the time left, estimated from the training
//! before.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::status::TrainingState;
use crate::domain::Offset;
use crate::domain::progress::Stage;
use crate::model::{Manifest, Snapshot};

/// One training's stages.
pub(super) struct Timeline {
    /// When it began.
    pub(super) started: Instant,
    /// Stages in the order in which they began, each once.
    begun: Mutex<Vec<(Stage, Instant)>>,
    /// Seconds that the training before spent on its stages, scaled to the length of this log.
    before: Vec<(String, f64)>,
}

impl Timeline {
    /// The timeline of a training of the log before `offset` that began at `started`. Estimates
    /// come from `before`, if that was quick where this one is.
    pub(super) fn new(
        started: Instant,
        before: Option<&Snapshot>,
        offset: Offset,
        quick: bool,
    ) -> Self {
        let before = before.map(|snapshot| &snapshot.manifest);
        // Quick trainings prepare no lists.
        let was_quick = |manifest: &&Manifest| {
            manifest.stages.iter().all(|(name, _)| name != Stage::Lists.name())
        };
        let alike = before.filter(|manifest| was_quick(manifest) == quick);
        let before = alike.map_or_else(Vec::new, |manifest| {
            let grown = offset as f64 / manifest.offset.max(1) as f64;
            let stages = manifest.stages.iter();
            stages.map(|(stage, seconds)| (stage.clone(), seconds * grown)).collect()
        });
        Self { started, begun: Mutex::default(), before }
    }

    /// Notes that a stage begins; a stage that began earlier continues.
    pub(super) fn begin(&self, stage: Stage) {
        let mut begun = self.begun.lock();
        if begun.iter().all(|(earlier, _)| *earlier != stage) {
            begun.push((stage, Instant::now()));
        }
    }

    /// Seconds spent on each stage until now.
    pub(super) fn stages(&self) -> Vec<(String, f64)> {
        let begun = self.begun.lock();
        let ends = begun.iter().skip(1).map(|(_, at)| *at).chain([Instant::now()]);
        let spent = begun.iter().zip(ends);
        let spent = spent.map(|((stage, at), end)| (stage.name(), end.duration_since(*at)));
        spent.map(|(name, spent)| (name.to_owned(), spent.as_secs_f64())).collect()
    }

    /// Time left for the running stage, and for all stages after it; none where the training
    /// before had no such stage.
    pub(super) fn expected(&self, state: &TrainingState) -> Option<(Duration, Duration)> {
        let TrainingState::Running(stage) = state else { return None };
        let at = self.before.iter().position(|(name, _)| name == stage.name())?;
        let begun = self.begun.lock();
        let spent =
            begun.iter().find(|(s, _)| s == stage).map_or(Duration::ZERO, |b| b.1.elapsed());
        let stage = Duration::try_from_secs_f64(self.before[at].1).unwrap_or_default();
        let later: f64 = self.before[at + 1..].iter().map(|(_, seconds)| seconds).sum();
        Some((stage.saturating_sub(spent), Duration::try_from_secs_f64(later).unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Parts;

    #[test]
    fn the_estimate_is_the_time_of_the_training_before() {
        let stages = [("read log", 10.0), ("item cf", 20.0), ("persist", 5.0)];
        let stages = stages.map(|(name, seconds)| (name.to_owned(), seconds)).to_vec();
        let manifest = Manifest { stages, offset: 100, ..Manifest::default() };
        let before = Snapshot { manifest, parts: Parts::default() };
        let timeline = Timeline::new(Instant::now(), Some(&before), 200, true);
        let running = TrainingState::Running;
        timeline.begin(Stage::ReadLog);
        timeline.begin(Stage::ItemCf);
        let (stage, later) = timeline.expected(&running(Stage::ItemCf)).unwrap();
        assert!((39.0..=40.0).contains(&stage.as_secs_f64()), "{stage:?}");
        assert_eq!(later.as_secs_f64(), 10.0);
        assert_eq!(timeline.expected(&running(Stage::Tune)), None);
        assert_eq!(timeline.stages().len(), 2);

        let tuned = Timeline::new(Instant::now(), Some(&before), 200, false);
        assert_eq!(tuned.expected(&running(Stage::ItemCf)), None);
    }
}
