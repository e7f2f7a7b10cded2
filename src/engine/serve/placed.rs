//! Lists of placements: what a request leaves open, the placement that it names decides.

use std::collections::HashSet;
use std::sync::Arc;

use super::query::{Recommender, not_ready};
use super::request::{Answer, RecommendRequest};
use crate::domain::quote::quoted;
use crate::domain::{Error, EventKind, HistoryEvent, ItemIdx, Result, Violation, limits};
use crate::live::{Condition, Filter};
use crate::model::Source;
use crate::recommend::placement::PLAIN;
use crate::recommend::{
    Basis, Placement, Recommended, RepeatPolicy, RuleChoice, Scratch, Shelf, Shows,
};
use crate::rules::CompiledRules;

/// A user's newest items of which "because you took" picks one.
const PICKED_FROM: usize = 20;

impl Recommender {
    /// Answers a request by the placement that it names; by a personalised list where it names none.
    /// `limit` 0 leaves the length to the placement.
    ///
    /// # Errors
    /// [`Error::Invalid`] for an unknown placement, and where the placement needs an item of the page;
    /// as [`Recommender::recommend`].
    pub async fn show(self: &Arc<Self>, request: RecommendRequest) -> Result<Answer> {
        let asked = Some(request.placement.as_str()).filter(|name| !name.is_empty());
        let course = self.course(&request, asked.unwrap_or(PLAIN))?;
        let request = RecommendRequest { variant: course.variant, ..request };
        let variant = request.variant.clone();
        let answer = match &course.other {
            None if variant.is_empty() => self.shown_as(request, &course.placement).await?,
            None => self.shown_of_variant(request, &course.placement).await?,
            Some(other) => self.interleaved(request, [&course.placement, other]).await?,
        };
        Ok(Answer { variant, ..answer })
    }

    /// The list of a variant. One that has nothing to show is recorded too: variants must not differ in
    /// who counts.
    async fn shown_of_variant(
        self: &Arc<Self>,
        request: RecommendRequest,
        settings: &str,
    ) -> Result<Answer> {
        let answer = self.shown_as(request.clone(), settings).await;
        if matches!(answer, Err(Error::NotFound { .. })) {
            let nothing = Answer::new(self.state.models.generation(), Vec::new(), Basis::Popular);
            let placement = if request.placement.is_empty() { PLAIN } else { &request.placement };
            let placement = placement.to_owned();
            self.expose(&nothing, &RecommendRequest { placement, ..request });
        }
        answer
    }

    /// The list of a request with the settings of another placement; of its own where that is empty.
    ///
    /// # Errors
    /// As [`Recommender::show`].
    pub(super) async fn shown_as(
        self: &Arc<Self>,
        request: RecommendRequest,
        settings: &str,
    ) -> Result<Answer> {
        let (request, placement) = self.resolved_as(request, settings)?;
        let Some(placement) = placement else { return self.serve(request).await };
        let answer = self.placed(&placement, request).await?;
        if answer.entries.is_empty() {
            return Ok(answer);
        }
        let about = answer.about.as_deref().map(|item| self.title(item));
        let title = placement.title.replace("{item}", about.as_deref().unwrap_or_default());
        Ok(Answer { title, ..answer })
    }

    /// Answers the requests of a page, one after the other: no item is in two lists.
    ///
    /// # Errors
    /// As [`Recommender::show`]; a placement that has nothing to show has an empty list.
    pub async fn page(
        self: &Arc<Self>,
        request: RecommendRequest,
        placements: Vec<String>,
    ) -> Result<Vec<Answer>> {
        for (at, placement) in placements.iter().enumerate() {
            let request = RecommendRequest { placement: placement.clone(), ..request.clone() };
            self.resolved(request).map_err(|error| at_place(error, at))?;
        }

        let mut answers: Vec<Answer> = Vec::with_capacity(placements.len());
        let mut exclude = request.exclude.clone();
        for placement in placements {
            let request =
                RecommendRequest { placement, exclude: exclude.clone(), ..request.clone() };
            let answer = match self.show(request).await {
                // Nothing is known of the page's items, or no model is there yet.
                Err(Error::NotFound { .. } | Error::NotReady(_)) => {
                    Answer::new(self.state.models.generation(), Vec::new(), Basis::Popular)
                }
                answer => answer?,
            };
            exclude.extend(answer.entries.iter().map(|entry| entry.item_id.clone()));
            answers.push(answer);
        }
        Ok(answers)
    }

    /// A request with what it leaves open as its placement says, and the placement, where it names one.
    ///
    /// # Errors
    /// [`Error::Invalid`] for an unknown placement; [`Error::OtherShard`] for a user whose lists another server makes.
    pub(super) fn resolved(
        &self,
        request: RecommendRequest,
    ) -> Result<(RecommendRequest, Option<Placement>)> {
        self.resolved_as(request, "")
    }

    /// The same with the settings of another placement; rules and measurements know the list by the one
    /// that is asked for.
    fn resolved_as(
        &self,
        mut request: RecommendRequest,
        settings: &str,
    ) -> Result<(RecommendRequest, Option<Placement>)> {
        self.state.check_shard(&request.user_id)?;
        if request.placement.is_empty() {
            PLAIN.clone_into(&mut request.placement);
        }
        let settings = if settings.is_empty() { &request.placement } else { settings };
        let settings = self.of_segment(&request, settings);
        if settings == PLAIN {
            return Ok((with_length(request, None), None));
        }

        let placements = self.state.in_force.placements();
        if let Some(placement) = placements.get(&settings) {
            let is_about = matches!(placement.shows, Shows::SimilarItems | Shows::BoughtTogether);
            if is_about && request.page_items.is_empty() {
                let message = "must name an item of the page: the placement is about it";
                return Err(Violation::new("page_item_ids", message).into());
            }
            let rules = self.chosen_rules(placement.rules);
            let request = with_placement(request, placement);
            let rules = request.rules.clone().or(rules);
            return Ok((RecommendRequest { rules, ..request }, Some(placement.clone())));
        }
        let names = placements.placements.iter().map(|placement| placement.name.as_str());
        let known = names.collect::<Vec<&str>>().join(", ");
        let known = if known.is_empty() { "of which the store has none" } else { &known };
        let given = quoted(&settings);
        let message = format!("must be a placement of the store ({known}), was {given}");
        Err(Violation::new("placement", message).into())
    }

    /// The placement whose settings a request gets instead of those of `settings`: another one where the user
    /// is in a segment that it has one for.
    fn of_segment(&self, request: &RecommendRequest, settings: &str) -> String {
        let placements = self.state.in_force.placements();
        let cases = placements.get(settings).map_or(&[][..], |of| &of.for_segments);
        let names: Vec<String> = cases.iter().map(|case| case.segment.clone()).collect();
        let holding = self.segments(self.user(request), &names);
        let case = cases.iter().find(|case| holding.contains(&case.segment));
        case.map_or(settings, |case| &case.placement).to_owned()
    }

    /// The rules that a placement chooses; none for those in force, and where a version is not kept.
    pub(super) fn chosen_rules(&self, choice: RuleChoice) -> Option<Arc<CompiledRules>> {
        match choice {
            RuleChoice::InForce => None,
            RuleChoice::Without => Some(Arc::default()),
            RuleChoice::Version(version) => self.state.in_force.earlier_rules(version),
        }
    }

    /// The same for a personalised list alone.
    ///
    /// # Errors
    /// [`Error::Invalid`] for an unknown placement, and for one that shows another list.
    pub(in crate::engine) fn personal(
        &self,
        request: RecommendRequest,
    ) -> Result<RecommendRequest> {
        let (request, placement) = self.resolved(request)?;
        match placement.map_or(Shows::Personal, |placement| placement.shows) {
            Shows::Personal => Ok(request),
            Shows::PriceDrops => {
                Ok(RecommendRequest { candidates: Some(self.dropped()), ..request })
            }
            _ => {
                let message = "must show a personalised list";
                Err(Violation::new("placement", message).into())
            }
        }
    }

    async fn placed(
        self: &Arc<Self>,
        placement: &Placement,
        request: RecommendRequest,
    ) -> Result<Answer> {
        match placement.shows {
            Shows::Personal => self.serve(request).await,
            Shows::SimilarItems => {
                let item = request.page_items.last().cloned().unwrap_or_default();
                let answer = self.similar_items(&item, &request)?;
                Ok(Answer { about: Some(item), ..answer })
            }
            Shows::BoughtTogether => {
                let basket = request.page_items.clone();
                self.bought_together(&basket, &request)
            }

            Shows::Popular(window) => self.popular(window, &request),
            Shows::BecauseYouTook => self.because_you_took(request),
            Shows::Favorites => {
                let answer = self.favorites(&request);
                self.expose(&answer, &request);
                Ok(answer)
            }
            Shows::PriceDrops => {
                let candidates = Some(self.dropped());
                self.serve(RecommendRequest { candidates, ..request }).await
            }
        }
    }

    /// The items whose price fell.
    fn dropped(&self) -> Vec<String> {
        let dropped = self.state.live.catalogue.read().dropped();
        let names = self.state.live.items.read();
        dropped.iter().map(|item| names.id(item).to_owned()).collect()
    }

    /// Items similar to the newest of the user's items that has any.
    fn because_you_took(&self, request: RecommendRequest) -> Result<Answer> {
        let mut taken = self.newest(&request, |event| is_taken(event.kind));
        taken.truncate(PICKED_FROM);
        let generation = self.state.models.generation();
        let (catalogue, names) = (self.state.live.catalogue.read(), self.state.live.items.read());
        taken.retain(|&item| !catalogue.is_deleted(item));
        let ids: Vec<String> = taken.iter().map(|&item| names.id(item).to_owned()).collect();
        drop((catalogue, names));

        // What the user has is not offered beside it.
        let mut exclude = [request.exclude.clone(), ids.clone()].concat();
        let settings = self.state.models.active().map(|model| model.manifest.settings);
        if self.repeat.resolved(&settings.unwrap_or_default()) != RepeatPolicy::Allow {
            let bought = self.bought(self.user(&request));
            let names = self.state.live.items.read();
            exclude.extend(bought.iter().map(|&item| names.id(item).to_owned()));
        }
        let request = RecommendRequest { exclude, ..request };
        for id in ids {
            match self.alike(&id, &request) {
                Ok(answer) if answer.entries.iter().any(|entry| is_alike(entry.source)) => {
                    self.expose(&answer, &request);
                    return Ok(Answer { about: Some(id), ..answer });
                }
                Ok(_) => {}
                Err(Error::NotReady(_)) => return Err(not_ready()),
                Err(error) => return Err(error),
            }
        }
        let nothing = Answer::new(generation, Vec::new(), Basis::Popular);
        if !request.variant.is_empty() {
            self.expose(&nothing, &request);
        }
        Ok(nothing)
    }

    /// What the user marked as favourites, newest first.
    fn favorites(&self, request: &RecommendRequest) -> Answer {
        let marked = self.newest(request, |event| event.kind == EventKind::Favorite);
        let generation = self.state.models.generation();
        let list = |shelf: Shelf<'_>, scratch: &mut Scratch| {
            shelf.mask(&mut scratch.mask);
            let shown = marked.iter().filter(|&&item| scratch.mask.allows(item));
            let shown = shown.take(request.limit).enumerate();
            let entry = |(at, &item): (usize, &ItemIdx)| Recommended {
                item,
                score: 1.0 / (1.0 + at as f32),
                source: Source::Repeat,
            };
            shown.map(entry).collect()
        };
        self.listed(generation, request, Basis::History, list)
    }

    /// The items of those events of the request's user for which `speaks` holds, newest first.
    fn newest(
        &self,
        request: &RecommendRequest,
        speaks: impl Fn(&HistoryEvent) -> bool,
    ) -> Vec<ItemIdx> {
        let user = self.consenting(self.user(request));
        let events = self.past(user).events;
        let mut seen = HashSet::new();
        let speaking = events.iter().rev().filter(|event| speaks(event));
        speaking.map(|event| event.item).filter(|item| seen.insert(*item)).collect()
    }

    /// The title of an item; its id where it has none.
    fn title(&self, id: &str) -> String {
        let item = self.state.live.item(id);
        let catalogue = self.state.live.catalogue.read();
        let title = item.and_then(|item| catalogue.get(item)).map(|item| item.title.clone());
        title.filter(|title| !title.is_empty()).unwrap_or_else(|| id.to_owned())
    }
}

/// Names the place of a page whose placement is refused.
fn at_place(error: Error, at: usize) -> Error {
    match error {
        Error::Invalid(violation) => violation.within(&format!("placements[{at}]")).into(),
        error => error,
    }
}

fn is_taken(kind: EventKind) -> bool {
    matches!(kind, EventKind::Purchase | EventKind::AddToCart | EventKind::Favorite)
}

/// Whether a source proposes items because they are like another, and not to fill a list.
fn is_alike(source: Source) -> bool {
    !matches!(source, Source::Popular | Source::Catalog)
}

fn with_length(request: RecommendRequest, of_placement: Option<usize>) -> RecommendRequest {
    let limit = match request.limit {
        0 => of_placement.unwrap_or(limits::DEFAULT_LIMIT),
        limit => limit,
    };
    RecommendRequest { limit, ..request }
}

/// The request with what it leaves open as the placement says; both filters hold.
fn with_placement(request: RecommendRequest, placement: &Placement) -> RecommendRequest {
    let request = with_length(request, placement.limit);
    let condition = match (request.filter.condition.clone(), placement.condition.clone()) {
        (Some(one), Some(other)) => Some(Condition::All(vec![one, other])),
        (one, other) => one.or(other),
    };
    RecommendRequest {
        filter: Arc::new(Filter { condition, ..Filter::clone(&request.filter) }),
        strategy: request.strategy.or(placement.strategy),
        repeat: request.repeat.or(placement.repeat),
        variety: request.variety.or(placement.variety),
        objective: placement.objective,
        weights: placement.blend(),
        generation: placement.generation,
        slot: placement.slot,
        ..request
    }
}
