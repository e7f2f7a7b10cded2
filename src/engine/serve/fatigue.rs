//! Which items a user is tired of.

use crate::domain::{ItemIdx, UserIdx};
use crate::live::Live;

/// When items that were shown again and again fade.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fatigue {
    /// Impressions without a click after which an item fades; 0: never.
    pub(super) after: u32,
    /// What its score is multiplied by for each from then on.
    pub(super) factor: f32,
}

impl Fatigue {
    /// The items that a user is tired of, with the factors of their scores.
    pub(super) fn of(self, user: Option<UserIdx>, live: &Live) -> Vec<(ItemIdx, f32)> {
        let Self { after, factor } = self;
        let Some(user) = user.filter(|_| after > 0) else { return Vec::new() };
        let impressions = live.impressions.read();
        let tired = impressions.of(user).iter().filter(|shown| shown.times >= after);
        let factor = |times: u32| factor.powi((times - after + 1).min(64) as i32);
        tired.map(|shown| (shown.item, factor(shown.times))).collect()
    }
}
