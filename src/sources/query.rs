//! What is asked for (the query), and what may be offered (the shelf).

use super::objective::Worth;
use super::scratch::Scratch;
use super::watch::Watch;
use crate::domain::history::{Bought, all_bought};
use crate::domain::topk::Scored;
use crate::domain::{DAY_MS, EventKind, HistoryEvent, ItemIdx, UserIdx};
use crate::live::{Catalogue, Filter, Hidden, ItemMask, Trend};
use crate::matrix::weight::ProfileWeighting;
use crate::model::blend::BlendSettings;
use crate::model::prepared::PreparedList;
use crate::model::{SecondStage, Settings, Snapshot, Source};
use crate::rules::ActiveRules;

/// Candidates that a list is chosen from where later stages order it again, and it is shorter.
const RESERVE: usize = 120;

/// Whether items that the user bought may be offered again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RepeatPolicy {
    /// They are offered like any other.
    Allow,
    /// They are excluded, unless they were returned.
    ExcludePurchased,
    /// Those bought within this number of days are excluded.
    ExcludeWithin(u32),
    /// They are excluded until they are due again, see [`Habits::is_due`]: consumables return in
    /// time, durables do not.
    ///
    /// [`Habits::is_due`]: crate::model::Habits::is_due
    WhenDue,
    /// All or none, as the tuner found best for the store; none until it has run.
    Auto,
}

impl RepeatPolicy {
    /// The policy with these settings; never `Auto`.
    pub fn resolved(self, settings: &Settings) -> Self {
        match self {
            RepeatPolicy::Auto if settings.repeat.offered => RepeatPolicy::Allow,
            RepeatPolicy::Auto => RepeatPolicy::ExcludePurchased,
            policy => policy,
        }
    }
}

/// How a list gets variety.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Diversifier {
    /// Maximal marginal relevance.
    #[default]
    Mmr,
    /// A determinantal point process.
    Dpp,
}

/// By what items are alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Likeness {
    /// By who takes them; by what they are where that is unknown.
    #[default]
    Behaviour,
    /// By what they are.
    Content,
}

/// How much the items of a list differ.
#[derive(Debug, Clone, Copy, PartialEq, Default, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Variety {
    /// How it is made.
    pub by: Diversifier,
    /// By what items are alike.
    pub likeness: Likeness,
    /// Weight of relevance against variety, from 0 to 1, where only relevance counts.
    pub lambda: f32,
    /// Maximum number of items of a brand; 0: no limit.
    pub max_of_brand: usize,
    /// Maximum number of items of a category, by an item's first; 0: no limit.
    pub max_of_category: usize,
    /// Whether one item of a group is enough.
    pub one_of_group: bool,
    /// Share of the places, after the first, that new and rare items get by chance: 0 to 0.5.
    pub exploration: f32,
}

/// What may be offered: the current catalogue, a filter, exclusions.
#[derive(Debug, Clone, Copy)]
pub struct Shelf<'a> {
    /// The items.
    pub catalogue: &'a Catalogue,
    /// Number of items that the store knows.
    pub items: usize,
    /// The request's filter.
    pub filter: &'a Filter,
    /// Never offered.
    pub excluded: &'a [ItemIdx],
    /// What the user does not want to see.
    pub hidden: &'a [Hidden],
    /// Only these are offered; none: all that pass.
    pub only: Option<&'a [ItemIdx]>,
    /// Items that earlier pages of the list showed.
    pub shown_before: usize,
    /// The rules that hold; none for a list that they do not concern.
    pub rules: Option<&'a ActiveRules<'a>>,
    /// The time, in milliseconds since 1970.
    pub now_ms: i64,
}

impl<'a> Shelf<'a> {
    /// The shelf of `items` items that a filter leaves, with nothing excluded.
    pub fn of(catalogue: &'a Catalogue, items: usize, filter: &'a Filter, now_ms: i64) -> Self {
        Self {
            catalogue,
            items,
            filter,
            excluded: &[],
            hidden: &[],
            only: None,
            shown_before: 0,
            rules: None,
            now_ms,
        }
    }
}

impl Shelf<'_> {
    /// Writes into `mask` what may be offered.
    pub fn mask(&self, mask: &mut ItemMask) {
        self.catalogue.mask(self.filter, self.items, self.now_ms, mask);
        if let Some(only) = self.only {
            mask.keep(only);
        }
        self.excluded.iter().for_each(|&item| mask.forbid(item));
        self.catalogue.forbid_hidden(self.hidden, mask);
        if let Some(rules) = self.rules {
            rules.restrict(mask);
        }
    }

    /// The rules that hold and change the order of lists.
    pub fn steering(&self) -> Option<&ActiveRules<'_>> {
        self.rules.filter(|rules| rules.moves())
    }

    /// Number of candidates that rules choose a list of `limit` from.
    pub fn depth(&self, limit: usize) -> usize {
        if self.steering().is_some() { limit.max(RESERVE) } else { limit }
    }
}

/// A request for a personalised list.
#[derive(Debug, Clone, Copy)]
pub struct Query<'a> {
    /// The user, if the store knows them; never their own neighbour.
    pub user: Option<UserIdx>,
    /// Their events, oldest first.
    pub history: &'a [HistoryEvent],
    /// Purchases in events that their history no longer holds, by item.
    pub bought: &'a [Bought],
    /// Items of the running session, oldest first.
    pub session: &'a [ItemIdx],
    /// Length of the list.
    pub limit: usize,
    /// What may be offered.
    pub shelf: Shelf<'a>,
    /// One source alone; none: the blend.
    pub strategy: Option<Source>,
    /// Weights of the sources other than the model's; such a list has no second stage, which was trained
    /// on the model's.
    pub weights: Option<&'a BlendSettings>,
    /// Whether bought items may come back.
    pub repeat: RepeatPolicy,
    /// A list that was made for the user since the model was trained.
    pub made: Option<&'a PreparedList>,
    /// Items taken together with the user's since the model was trained, best first, with scores
    /// from 0 to 1.
    pub fresh: &'a [Scored],
    /// What is taken now, narrowest cohort first: for a user without events.
    pub trends: &'a [Trend],
    /// Whether to skip the second stage, because the deadline is near.
    pub hurried: bool,
    /// What the list is for; none: what users take.
    pub worth: Option<Worth<'a>>,
    /// Items that the user is tired of, with the factors of their scores.
    pub tired_of: &'a [(ItemIdx, f32)],
    /// How much its items differ; none: by their scores alone. It is never a prepared one then.
    pub variety: Option<&'a Variety>,
    /// Seed of what is drawn by chance.
    pub seed: u64,
    /// Whether the list comes with reasons; it is never a prepared one then.
    pub explain: bool,
    /// Who follows the stages of the list.
    pub watch: Watch<'a>,
}

impl<'a> Query<'a> {
    /// A query of an anonymous user without a session, for an empty list, on a shelf.
    pub fn on(shelf: Shelf<'a>) -> Self {
        Self {
            user: None,
            history: &[],
            bought: &[],
            session: &[],
            limit: 0,
            shelf,
            strategy: None,
            weights: None,
            repeat: RepeatPolicy::Auto,
            made: None,
            fresh: &[],
            trends: &[],
            hurried: false,
            worth: None,
            tired_of: &[],
            variety: None,
            seed: 0,
            explain: false,
            watch: Watch::default(),
        }
    }
}

impl Query<'_> {
    /// Number of candidates that later stages choose the list from.
    pub(crate) fn depth(&self) -> usize {
        match self.variety {
            Some(_) => self.limit.max(RESERVE),
            None if !self.tired_of.is_empty() || self.worth.is_some() => self.limit.max(RESERVE),
            None => self.shelf.depth(self.limit),
        }
    }

    /// The settings of the list: anonymous sessions may have settings of their own.
    pub(crate) fn settings<'s>(&self, snapshot: &'s Snapshot) -> &'s Settings {
        let own = snapshot.manifest.session_settings.as_ref();
        own.filter(|_| self.history.is_empty()).unwrap_or(&snapshot.manifest.settings)
    }

    /// The weights of the sources.
    pub(crate) fn blend<'s>(&'s self, snapshot: &'s Snapshot) -> &'s BlendSettings {
        self.weights.unwrap_or(&self.settings(snapshot).blend)
    }

    /// The second stage of the list, if it has one.
    pub(crate) fn second_stage<'s>(&self, snapshot: &'s Snapshot) -> Option<&'s SecondStage> {
        let of_sessions = self.history.is_empty() && snapshot.manifest.session_settings.is_some();
        let stage =
            if of_sessions { &snapshot.parts.session_stage } else { &snapshot.parts.second_stage };
        Some(&**stage).filter(|stage| self.weights.is_none() && !stage.is_empty())
    }

    /// Forbids what this user should not be offered: purchases, by the policy, and the item they
    /// are viewing, unless the shop's sessions come back to it.
    pub(crate) fn exclude(&self, snapshot: &Snapshot, scratch: &mut Scratch) {
        let settings = self.settings(snapshot);
        if let Some(&current) = self.session.last().filter(|_| !settings.session.in_view) {
            scratch.mask.forbid(current);
        }

        let policy = self.repeat.resolved(settings);
        if policy == RepeatPolicy::Allow {
            return;
        }

        let Scratch { bought, mask, .. } = scratch;
        all_bought(self.history, self.bought, bought);
        for bought in bought.iter().filter(|bought| bought.stands()) {
            let days = self.shelf.now_ms.saturating_sub(bought.last_ms) as f32 / DAY_MS as f32;
            let comes_back = match policy {
                RepeatPolicy::ExcludeWithin(max) => days > max as f32,
                RepeatPolicy::WhenDue => snapshot.parts.habits.is_due(bought.item, days),
                _ => false,
            };
            if !comes_back {
                mask.forbid(bought.item);
            }
        }
    }

    /// Writes the user's row of the matrix with this weighting into `scratch.profile`.
    pub(crate) fn profile(&self, weighting: impl Into<ProfileWeighting>, scratch: &mut Scratch) {
        self.events(scratch);
        weighting.into().cells(&scratch.events, self.shelf.now_ms, &mut scratch.profile);
    }

    /// Writes the user's events into `scratch.events`, oldest first, followed by those of the
    /// running session.
    pub(crate) fn events(&self, scratch: &mut Scratch) {
        let events = &mut scratch.events;
        events.clear();
        events.extend_from_slice(self.history);
        events.extend(
            self.session
                .iter()
                .map(|&item| HistoryEvent::new(EventKind::View, item, self.shelf.now_ms)),
        );
    }
}
