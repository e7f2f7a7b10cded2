//! Why items are in a list: bars and sentences for people, the same as JSON for programs.

use serde::Serialize;

use super::output::{name, table};
use crate::api::wire::pb;
use crate::domain::quote::printable;

/// Length of the longest bar.
const BAR: f64 = 20.0;
/// Eighths of a block, from empty to full.
const EIGHTHS: [&str; 9] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉", "█"];

/// Why an item is in a list.
#[derive(Debug, Serialize)]
pub struct Why {
    /// The leading reason.
    pub sentence: String,
    /// The same in Chinese.
    pub sentence_zh: String,
    /// The blend's score.
    pub blend_score: f64,
    /// The sources and their parts of the blend's score, largest first.
    pub shares: Vec<(String, f64)>,
    /// What the second stage adds or takes away.
    pub second_stage: f64,
    /// What a place that is for rare items adds.
    pub room: f64,
    /// What it loses because it was shown again and again.
    pub fatigue: f64,
    /// What the placement's objective adds or takes away.
    pub objective: f64,
    /// What variety takes away.
    pub variety: f64,
    /// The rules that moved it, with what they add or take away.
    pub rules: Vec<(String, f64)>,
    /// The user's events that led to it: item, kind, part of the score.
    pub led_by: Vec<(String, String, f64)>,
    /// How many similar users took it.
    pub similar_users: i32,
    /// What it has in common with the first of these items.
    pub shared: Vec<(String, String)>,
}

impl Why {
    /// What an answer says.
    pub fn of(given: pb::Explanation) -> Self {
        let share =
            |share: &pb::SourceShare| (name(share.source().as_str_name(), "SOURCE_"), share.share);
        let led = |led: pb::LedBy| {
            let kind = name(led.kind().as_str_name(), "EVENT_KIND_");
            (led.item_id, kind, led.share)
        };
        Self {
            shares: given.shares.iter().map(share).collect(),
            led_by: given.led_by.into_iter().map(led).collect(),
            shared: given.shared.into_iter().map(|a| (a.name, a.value)).collect(),
            sentence: given.sentence_en,
            sentence_zh: given.sentence_zh,
            blend_score: given.blend_score,
            second_stage: given.second_stage,
            room: given.room,
            fatigue: given.fatigue,
            objective: given.objective,
            variety: given.variety,
            rules: given.rules.into_iter().map(|part| (part.rule, part.part)).collect(),
            similar_users: given.similar_users,
        }
    }

    /// The parts of the score as bars, relative to `largest`, and what led to the item.
    pub fn print(&self, largest: f64) {
        println!("   {}", printable(&self.sentence));
        let parts = self.shares.iter().map(|(source, share)| (source.as_str(), *share));
        let others = [
            ("second stage", self.second_stage),
            ("room", self.room),
            ("fatigue", self.fatigue),
            ("objective", self.objective),
            ("variety", self.variety),
        ];
        let others = others.into_iter().filter(|(_, part)| *part != 0.0);
        let others = others.chain(self.rules.iter().map(|(rule, part)| (rule.as_str(), *part)));
        let rows = parts.chain(others).map(|(source, share)| {
            vec!["  ".to_owned(), source.to_owned(), format!("{share:+.4}"), bar(share, largest)]
        });
        println!("{}", table(&["", "part", "score", ""], &["score"], rows.collect()));
        if !self.led_by.is_empty() {
            let led = self.led_by.iter();
            let led: Vec<String> = led.map(|(item, kind, _)| format!("{item} ({kind})")).collect();
            println!("   led by {}", printable(&led.join(", ")));
        }
        println!();
    }

    /// The largest part of the score.
    pub fn largest(&self) -> f64 {
        let shares = self.shares.iter().map(|(_, share)| share.abs());
        shares.chain([self.second_stage.abs(), self.room.abs()]).fold(0.0, f64::max)
    }
}

/// A bar for a part; one that is taken away is drawn in light blocks.
fn bar(part: f64, largest: f64) -> String {
    let eighths = (part.abs() / largest.max(f64::MIN_POSITIVE) * BAR * 8.0).round() as usize;
    if part < 0.0 {
        return "░".repeat(eighths.div_ceil(8));
    }
    "█".repeat(eighths / 8) + EIGHTHS[eighths % 8]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_as_long_as_their_parts() {
        assert_eq!(bar(1.0, 1.0), "█".repeat(20));
        assert_eq!(bar(0.025, 1.0), "▌");
        assert_eq!(bar(-0.5, 1.0), "░".repeat(10));
        assert_eq!((bar(0.0, 1.0), bar(0.0, 0.0)), (String::new(), String::new()));
    }
}
