//! The requests of a measurement: users and items spread over all that a store knows.

use std::path::Path;

use bytes::Bytes;
use qianmian::api::wire::{codec, pb};
use qianmian::cli::Failure;
use qianmian::config::Config;
use qianmian::engine::Engine;
use qianmian::live::Vocabulary;
use qianmian::model::Source;

use crate::load::Calls;

/// The name of the calls of users who have just clicked.
pub(crate) const ACTIVE: &str = "Recommend, active users";
/// The name of the calls that go to the ceiling.
pub(crate) const CEILING: &str = "ceiling";
/// Maximum number of users and items that requests name.
const ASKED: usize = 20_000;
/// Number of users with all requests, where hot ones are meant.
const HOT: usize = 10;

/// The users and items of requests.
pub(crate) struct Asked {
    /// The size of the store, in words.
    pub(crate) store: String,
    /// Users without an event since the training.
    pub(crate) users: Vec<String>,
    /// Users who are let click.
    pub(crate) active: Vec<String>,
    pub(crate) items: Vec<String>,
    /// All items that the store knows.
    pub(crate) known_items: Vec<String>,
    /// The sources that the model blends.
    pub(crate) blended: Vec<Source>,
    /// Whether prepared lists offer items that users have.
    pub(crate) repeats: bool,
}

impl Asked {
    /// Users and items spread over all that the store knows.
    pub(crate) fn of(data: &Path, config: &Config) -> Result<Self, Failure> {
        let mut options = config.engine();
        options.train.automatic = false;
        let engine = Engine::open(data, options)?;
        let spread = |len: usize| (0..len).step_by(len.div_ceil(ASKED).max(1));
        let live = engine.live();
        let users = live.users.read();
        let items = live.items.read();
        let of = |idx: usize, names: &Vocabulary| names.id(idx as u32).to_owned();
        let model = engine.models().active();

        let Some(model) = model else {
            return Err(format!("{} holds no model; train one first", data.display()).into());
        };
        let names = spread(users.len()).map(|idx| of(idx, &users)).enumerate();
        let (quiet, active): (Vec<_>, Vec<_>) = names.partition(|(at, _)| at % 2 == 0);
        let plain = |of: Vec<(usize, String)>| of.into_iter().map(|(_, name)| name).collect();
        let asked = Self {
            store: format!(
                "{} users, {} items, {} events, {} interactions",
                users.len(),
                items.len(),
                live.events(),
                model.manifest.interactions,
            ),
            blended: model.manifest.settings.blend.sources(),
            repeats: model.parts.prepared.repeats,
            users: plain(quiet),
            active: plain(active),
            items: spread(items.len()).map(|idx| of(idx, &items)).collect(),
            known_items: (0..items.len()).map(|idx| of(idx, &items)).collect(),
        };
        Ok(asked)
    }

    /// The measured calls, in order.
    pub(crate) fn calls(&self, limit: i32) -> Vec<(String, Calls)> {
        let recommend = |users: &[String], more: &pb::RecommendRequest| -> Vec<Bytes> {
            let ask = |user: &String| pb::RecommendRequest {
                user_id: user.clone(),
                limit,
                ..more.clone()
            };
            users.iter().map(|user| codec::frame(&ask(user)).into()).collect()
        };

        let plain = pb::RecommendRequest::default();
        let one = |source| pb::RecommendRequest { strategy: source, ..plain.clone() };
        // Prepared lists hold for one policy only: the other one needs the blend.
        let other =
            if self.repeats { pb::RepeatPolicy::ExcludePurchased } else { pb::RepeatPolicy::Allow };
        let anew = pb::RecommendRequest { repeat_policy: other.into(), ..plain.clone() };
        let of_items = |frame: &dyn Fn(String) -> Vec<u8>| {
            self.items.iter().map(|item| frame(item.clone()).into()).collect()
        };

        let hot = &self.users[..self.users.len().min(HOT)];
        let similar =
            |item_id| codec::frame(&pb::SimilarItemsRequest { item_id, limit, filter: None });
        let together = |item| {
            codec::frame(&pb::BoughtTogetherRequest { item_ids: vec![item], limit, filter: None })
        };
        let alike = |user: &String| pb::SimilarUsersRequest { user_id: user.clone(), limit };
        let window = pb::Window::AllTime.into();
        let popular = codec::frame(&pb::PopularRequest { window, limit, filter: None });

        let mut all = vec![
            (CEILING.to_owned(), "Recommend", recommend(hot, &plain)),
            ("Recommend".to_owned(), "Recommend", recommend(&self.users, &plain)),
            ("Recommend, hot users".to_owned(), "Recommend", recommend(hot, &plain)),
            (ACTIVE.to_owned(), "Recommend", recommend(&self.active, &plain)),
            ("Recommend, blended anew".to_owned(), "Recommend", recommend(&self.users, &anew)),
        ];

        let always = [Source::ItemCf, Source::UserCf, Source::Embedding];
        let others = self.blended.iter().filter(|source| !always.contains(source));
        for &source in always.iter().chain(others) {
            let frames = recommend(&self.users, &one(source.number()));
            all.push((format!("Recommend, {}", source.name()), "Recommend", frames));
        }

        let alike = self.users.iter().map(|user| codec::frame(&alike(user)).into()).collect();
        all.extend([
            ("SimilarItems".to_owned(), "SimilarItems", of_items(&similar)),
            ("BoughtTogether".to_owned(), "BoughtTogether", of_items(&together)),
            ("SimilarUsers".to_owned(), "SimilarUsers", alike),
            ("Popular".to_owned(), "Popular", vec![popular.into()]),
        ]);

        let path = |method| format!("/qianmian.v1.RecommendationService/{method}");
        let calls = all
            .into_iter()
            .map(|(name, method, frames)| (name, Calls { path: path(method), frames }));
        calls.collect()
    }
}
