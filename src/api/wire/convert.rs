//! Conversions between the protocol and the domain that several services need.

use std::collections::HashSet;

use crate::api::wire::pb;
use crate::domain::quote::quoted;
use crate::domain::{Violation, limits};
use crate::engine::Page;
use crate::engine::serve::{Explanation, LedBy, ScoredItem};
use crate::model::Source;

/// Checks that a request names a user or a session; neither is needed where `else_known`.
pub fn user(user_id: &str, session: &[String], else_known: bool) -> Result<(), Violation> {
    if !user_id.is_empty() {
        limits::id("user_id", user_id)?;
    } else if session.is_empty() && !else_known {
        let message = "must hold 1 to 256 bytes, unless session_item_ids has items; both are empty";
        return Err(Violation::new("user_id", message));
    }
    ids("session_item_ids", session, 0, limits::MAX_SESSION_ITEMS)
}

/// Checks a list of ids: their number, and each of them.
pub fn ids(field: &str, ids: &[String], min: usize, max: usize) -> Result<(), Violation> {
    limits::count(field, ids.len(), min, max)?;
    ids.iter().enumerate().try_for_each(|(i, id)| limits::id(&format!("{field}[{i}]"), id))
}

/// Maximum and default length of a page.
const PAGE: (usize, usize) = (1_000, 100);

/// The start of a page, and its maximum length.
pub fn page(size: i32, token: &str) -> Result<(usize, Page), Violation> {
    let size = match usize::try_from(size) {
        Ok(0) => PAGE.1,
        Ok(size) if size <= PAGE.0 => size,
        _ => {
            let message = format!("must be 1 to {}, was {size}", PAGE.0);
            return Err(Violation::new("page_size", message));
        }
    };

    let from = match token {
        "" => 0,
        token => token.parse::<u32>().map_err(|_| {
            let message = format!("must be a next_page_token, was {}", quoted(token));
            Violation::new("page_token", message)
        })? as usize,
    };
    Ok((from, Page(size)))
}

/// Checks the number of entries of a write, and that no id occurs twice; `path` names the field of
/// the i-th id.
pub fn batch<'a>(
    field: &str,
    ids: impl ExactSizeIterator<Item = &'a str>,
    path: impl Fn(usize) -> String,
) -> Result<(), Violation> {
    limits::count(field, ids.len(), 1, limits::MAX_BATCH)?;
    let mut seen = HashSet::new();
    for (i, id) in ids.enumerate() {
        if !seen.insert(id) {
            let message = format!("must not repeat an id, repeats {}", quoted(id));
            return Err(Violation::new(path(i), message));
        }
    }
    Ok(())
}

/// A list as the protocol has it.
pub fn scored_items(items: Vec<ScoredItem>) -> Vec<pb::ScoredItem> {
    let scored = |item: ScoredItem| pb::ScoredItem {
        item_id: item.item_id,
        score: f64::from(item.score),
        source: item.source.number(),
        propensity: item.propensity.into(),
        explanation: item.explanation.map(|explanation| explained(*explanation)),
    };
    items.into_iter().map(scored).collect()
}

fn explained(given: Explanation) -> pb::Explanation {
    let share = |(source, share): (Source, f32)| pb::SourceShare {
        source: source.number(),
        share: share.into(),
    };
    let led_by = |led: LedBy| pb::LedBy {
        item_id: led.item_id,
        kind: led.kind as i32 + 1,
        time: Some(timestamp(led.time_ms)),
        share: led.share.into(),
    };
    let rhythm = |(usual, since): (f32, f32)| pb::Rhythm {
        usual_days: usual.into(),
        since_days: since.into(),
    };
    let attribute = |(name, value)| pb::Attribute { name, value };
    let rule = |(rule, part): (String, f32)| pb::RulePart { rule, part: part.into() };

    pb::Explanation {
        blend_score: given.blend_score.into(),
        shares: given.shares.into_iter().map(share).collect(),
        second_stage: given.second_stage.into(),
        room: given.room.into(),
        fatigue: given.fatigue.into(),
        objective: given.objective.into(),
        variety: given.variety.into(),
        rules: given.rules.into_iter().map(rule).collect(),
        led_by: given.led_by.into_iter().map(led_by).collect(),
        similar_users: given.similar_users as i32,
        shared: given.shared.into_iter().map(attribute).collect(),
        rhythm: given.due.map(rhythm),
        sentence_en: given.sentence_en,
        sentence_zh: given.sentence_zh,
    }
}

/// Milliseconds since 1970 as a protobuf timestamp.
pub fn timestamp(ms: i64) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: ms.div_euclid(1_000),
        nanos: (ms.rem_euclid(1_000) * 1_000_000) as i32,
    }
}

/// A protobuf timestamp as milliseconds since 1970.
pub fn milliseconds(field: &str, time: &prost_types::Timestamp) -> Result<i64, Violation> {
    if !(0..1_000_000_000).contains(&time.nanos) {
        let message = format!("nanos must be 0 to 999999999, was {}", time.nanos);
        return Err(Violation::new(field, message));
    }
    // Out-of-range seconds stay out of range, for the range check to refuse.
    Ok(time.seconds.saturating_mul(1_000).saturating_add(i64::from(time.nanos) / 1_000_000))
}
