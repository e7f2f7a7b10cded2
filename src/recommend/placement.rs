//! Placements: named bundles of what a list is made of, kept with the store, so that a storefront
//! sends a name and the shop changes its mind without a deployment.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::domain::quote::quoted;
use crate::domain::{Generation, Violation, limits};
use crate::live::Condition;
use crate::model::blend::BlendSettings;
use crate::model::{Source, Window};
use crate::sources::{Objective, RepeatPolicy, Variety};

/// Maximum number of placements of a store.
pub const MAX_PLACEMENTS: usize = 64;
/// Maximum number of items among which a slot is drawn.
const MAX_SLOT: usize = 100;
/// Maximum number of segments for which a placement has other settings.
pub const MAX_FOR_SEGMENTS: usize = 20;
/// Maximum number of weights of a placement.
pub const MAX_WEIGHTS: usize = 20;
/// Maximum weight of a source.
const MAX_WEIGHT: f64 = 100.0;
/// The placement of personalised lists that are asked for without one.
pub const PLAIN: &str = "recommend";
/// The placements that every store has: lists that are asked for without one, by their method.
pub const OF_METHODS: [&str; 5] =
    [PLAIN, "batch_recommend", "similar_items", "bought_together", "popular"];

/// The placements of a store. They are written and taken back as a whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub struct PlacementSet {
    /// The placements.
    pub placements: Vec<Placement>,
}

/// A placement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Placement {
    /// Its name, which no other placement has.
    pub name: String,
    /// What is shown above its list; `{item}` stands for the title of the item that the list is
    /// about. May be empty.
    #[serde(default)]
    pub title: String,
    /// What its list shows.
    #[serde(default)]
    pub shows: Shows,
    /// Length of its list where a request does not say; none: the default.
    #[serde(default)]
    pub limit: Option<usize>,
    /// One source alone; none: the blend.
    #[serde(default)]
    pub strategy: Option<Source>,
    /// A condition on its items, beside a request's own filter.
    #[serde(default)]
    pub condition: Option<Condition>,
    /// Whether bought items may come back, where a request does not say; none: the store's setting.
    #[serde(default)]
    pub repeat: Option<RepeatPolicy>,
    /// How much its items differ, where a request does not say.
    #[serde(default)]
    pub variety: Option<Variety>,
    /// What its list is for; none: what users take.
    #[serde(default)]
    pub objective: Option<Objective>,
    /// Weights of the sources by name, in place of the model's; a source that is absent has none. Empty: the
    /// model's.
    #[serde(default)]
    pub weights: BTreeMap<Source, f32>,
    /// The rules that its list follows.
    #[serde(default)]
    pub rules: RuleChoice,
    /// The kept model that makes its list; none: the one that answers.
    #[serde(default)]
    pub generation: Option<Generation>,
    /// The position whose item is drawn by chance, for `replay`; none: none is.
    #[serde(default)]
    pub slot: Option<RandomSlot>,
    /// Other placements for users in saved segments; the first that holds counts.
    #[serde(default)]
    pub for_segments: Vec<ForSegment>,
}

/// What users in a saved segment see of a placement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForSegment {
    /// The segment.
    pub segment: String,
    /// The placement whose settings they get, without its own `for_segments`.
    pub placement: String,
}

/// A position of a list whose item is drawn by chance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RandomSlot {
    /// The position, from 1.
    pub position: usize,
    /// It is drawn among that many best items, those above it left out.
    pub candidates: usize,
}

/// The rules that a list follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum RuleChoice {
    /// Those in force.
    #[default]
    InForce,
    /// None.
    Without,
    /// Those of an earlier version.
    Version(u32),
}

/// What the list of a placement shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Shows {
    /// A personalised list.
    #[default]
    Personal,
    /// Items similar to the item of the page.
    SimilarItems,
    /// Complements of the items of the page.
    BoughtTogether,
    /// The most bought items of a window.
    Popular(Window),
    /// Items similar to one that the user took lately, which the placement picks.
    BecauseYouTook,
    /// What the user marked as favourites, newest first.
    Favorites,
    /// A personalised list of items whose price fell.
    PriceDrops,
}

impl PlacementSet {
    /// The placement of this name.
    pub fn get(&self, name: &str) -> Option<&Placement> {
        self.placements.iter().find(|placement| placement.name == name)
    }

    /// The names of all placements, those of methods among them.
    pub fn names(&self) -> Vec<String> {
        let own = self.placements.iter().map(|placement| placement.name.clone());
        OF_METHODS.into_iter().map(str::to_owned).chain(own).collect()
    }

    /// Checks every limit; the violation names the placement and the field.
    ///
    /// # Errors
    /// The first field that breaks its limit.
    pub fn check(&self) -> Result<(), Violation> {
        limits::count("placements", self.placements.len(), 0, MAX_PLACEMENTS)?;
        let mut names: HashSet<&str> = OF_METHODS.into();
        for (at, placement) in self.placements.iter().enumerate() {
            let within = |violation: Violation| violation.within(&format!("placements[{at}]"));
            placement.check().map_err(within)?;
            if !names.insert(&placement.name) {
                let message = format!(
                    "must be no method's and no other placement's, was {}",
                    quoted(&placement.name)
                );
                return Err(within(Violation::new("name", message)));
            }
            self.check_segments(placement).map_err(within)?;
        }
        Ok(())
    }

    /// Checks that what users in segments see is there, and the same kind of list.
    fn check_segments(&self, placement: &Placement) -> Result<(), Violation> {
        limits::count("for_segments", placement.for_segments.len(), 0, MAX_FOR_SEGMENTS)?;
        for (at, of) in placement.for_segments.iter().enumerate() {
            let other = self.get(&of.placement).filter(|other| {
                std::mem::discriminant(&other.shows) == std::mem::discriminant(&placement.shows)
            });
            if other.is_none() || of.placement == placement.name {
                let message = format!(
                    "must be another placement that shows the same kind of list, was {}",
                    quoted(&of.placement)
                );
                return Err(Violation::new(format!("for_segments[{at}].placement"), message));
            }
        }
        Ok(())
    }
}

impl Placement {
    fn check(&self) -> Result<(), Violation> {
        limits::name("name", &self.name)?;
        limits::line("title", &self.title, limits::MAX_TITLE_BYTES)?;
        if let Some(limit) = self.limit {
            limits::number("limit", limit as f64, 1.0, limits::MAX_LIMIT as f64)?;
        }
        if let Some(objective) = &self.objective {
            objective.check().map_err(|violation| violation.within("objective"))?;
        }
        self.check_weights()?;
        self.check_slot()?;

        let is_personal = matches!(self.shows, Shows::Personal | Shows::PriceDrops);
        let only_personal = [
            ("strategy", self.strategy.is_some()),
            ("repeat_policy", self.repeat.is_some()),
            ("variety", self.variety.is_some()),
            ("objective", self.objective.is_some()),
            ("weights", !self.weights.is_empty()),
            ("generation", self.generation.is_some()),
            ("slot", self.slot.is_some()),
        ];
        match only_personal.iter().find(|(_, given)| *given && !is_personal) {
            Some((field, _)) => {
                let message = "must be absent: the placement shows no personalised list";
                Err(Violation::new(*field, message))
            }
            None => Ok(()),
        }
    }

    fn check_slot(&self) -> Result<(), Violation> {
        let Some(slot) = self.slot else { return Ok(()) };
        limits::number("slot.candidates", slot.candidates as f64, 2.0, MAX_SLOT as f64)?;
        limits::number("slot.position", slot.position as f64, 1.0, slot.candidates as f64 - 1.0)?;
        if let Some(limit) = self.limit {
            limits::number("slot.position", slot.position as f64, 1.0, limit as f64)?;
        }
        if self.variety.is_some_and(|variety| variety.exploration > 0.0) {
            let message = "must be absent: variety draws items by chance already";
            return Err(Violation::new("slot", message));
        }
        Ok(())
    }

    fn check_weights(&self) -> Result<(), Violation> {
        for (source, &weight) in &self.weights {
            let field = format!("weights[{}]", source.name());
            limits::number(&field, weight.into(), 0.0, MAX_WEIGHT)?;
            if !Source::BLENDED.contains(source) {
                return Err(Violation::new(field, "is no source of the blend"));
            }
        }
        if !self.weights.is_empty() && self.weights.values().all(|weight| *weight == 0.0) {
            return Err(Violation::new("weights", "must hold one above 0"));
        }
        if self.strategy.is_some() && !self.weights.is_empty() {
            return Err(Violation::new("weights", "must be absent: one source alone is asked"));
        }
        Ok(())
    }

    /// Its weights as settings of a blend; none for the model's.
    pub fn blend(&self) -> Option<BlendSettings> {
        if self.weights.is_empty() {
            return None;
        }
        let mut blend = BlendSettings::default();
        for source in Source::BLENDED {
            blend.set_weight(source, self.weights.get(&source).copied().unwrap_or(0.0));
        }
        Some(blend)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_breaks_a_limit_is_named() {
        let home = |name: &str| Placement {
            name: name.into(),
            title: String::new(),
            shows: Shows::Personal,
            limit: None,
            strategy: None,
            condition: None,
            repeat: None,
            variety: None,
            objective: None,
            weights: BTreeMap::new(),
            rules: RuleChoice::InForce,
            generation: None,
            slot: None,
            for_segments: Vec::new(),
        };
        let refused = |placements: Vec<Placement>| {
            let set = PlacementSet { placements };
            set.check().map_or_else(|v| v.to_string(), |()| "taken".into())
        };
        assert_eq!(refused(vec![home("home"), home("cart")]), "taken");
        assert!(refused(vec![home("Home!")]).starts_with("placements[0].name: must be 1 to 64"));
        for taken in ["home", "popular"] {
            assert_eq!(
                refused(vec![home("home"), home(taken)]),
                format!(
                    "placements[1].name: must be no method's and no other placement's, was {taken:?}"
                )
            );
        }
        let long = Placement { limit: Some(501), ..home("home") };
        assert_eq!(refused(vec![long]), "placements[0].limit: must be 1 to 500, was 501");
        let shows = Shows::Favorites;
        let for_segment = |placement: &str| {
            let (segment, placement) = ("gold".into(), placement.into());
            Placement { for_segments: vec![ForSegment { segment, placement }], ..home("home") }
        };
        assert_eq!(refused(vec![for_segment("cart"), home("cart")]), "taken");
        for wrong in ["home", "nowhere"] {
            let message = refused(vec![for_segment(wrong), home("cart")]);
            assert!(
                message.starts_with("placements[0].for_segments[0].placement: must be another")
            );
        }
        let varied = Placement { variety: Some(Variety::default()), shows, ..home("home") };
        assert!(refused(vec![varied]).starts_with("placements[0].variety: must be absent"));
    }
}
