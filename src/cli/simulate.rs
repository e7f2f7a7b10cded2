//! `qianmian simulate`

use std::collections::HashSet;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::Failure;
use super::backend::{Backend, Target};
use crate::api::wire::pb;
use crate::config::Config;
use crate::experiment::simulation::Browsing;

/// Items among which tastes are drawn, the most bought.
const TASTES: i32 = 100;
/// Items that go with a taste.
const ALIKE: i32 = 30;
/// Probability that a user likes an item of their taste, and any other.
const ATTRACTION: (f64, f64) = (0.4, 0.02);
/// How long a clicked item is looked at, in milliseconds.
const DWELL_MS: u32 = 20_000;

/// Let simulated users browse the lists of a server, to try experiments on a store without users
#[derive(Debug, Args)]
#[command(
    after_help = "Each user likes two of the most bought items and what is similar to them, and buys one \
                        of these first. They look at a list from the top; docs/src/experiments.md has the \
                        model.\n\nExamples:\n  \
                        qianmian simulate --server 127.0.0.1:50051\n  \
                        qianmian simulate --placement home --users 2000 --seed 7 --server 127.0.0.1:50051"
)]
pub struct Simulate {
    /// The placement whose lists they see
    #[arg(long, value_name = "NAME", default_value = "")]
    placement: String,
    /// Number of users
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    users: u32,
    /// Visits of each user, one list each
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    visits: u32,
    /// Seed of everything that is drawn; users of different seeds are different
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    target: Target,
}

/// What users like: for each taste, its items.
struct Tastes(Vec<HashSet<String>>);

/// What a simulation did.
#[derive(Debug, Default)]
struct Done {
    lists: u64,
    looks: u64,
    clicks: u64,
    purchases: u64,
}

impl Simulate {
    pub(super) async fn run(self, config: Config) -> Result<(), Failure> {
        let backend = self.target.open(&config).await?;
        let tastes = Tastes::read(&backend).await?;
        let mut rng = StdRng::seed_from_u64(self.seed);
        let mut done = Done::default();
        let style = ProgressStyle::with_template("{bar:40} {pos}/{len} users, {eta} left")?;
        let bar = ProgressBar::new(self.users.into()).with_style(style);
        for user in 0..self.users {
            self.user(user, &backend, &tastes, &mut rng, &mut done).await?;
            bar.inc(1);
        }

        bar.finish_and_clear();
        let Done { lists, looks, clicks, purchases } = done;
        println!(
            "{} users saw {lists} lists, looked at {looks} items, clicked {clicks} and bought {purchases}",
            self.users
        );
        Ok(())
    }

    /// Lets a user buy an item of their taste, then visit.
    async fn user(
        &self,
        user: u32,
        backend: &Backend,
        tastes: &Tastes,
        rng: &mut StdRng,
        done: &mut Done,
    ) -> Result<(), Failure> {
        let user_id = format!("simulated-{}-{user}", self.seed);
        let liked = tastes.draw(rng);
        let mut all: Vec<&String> = liked.iter().copied().collect();
        all.sort_unstable();
        let first = all[rng.random_range(0..all.len())].clone();
        write(backend, vec![event(pb::EventKind::Purchase, &user_id, first, "")]).await?;

        let browsing = Browsing::default();
        for _ in 0..self.visits {
            let request = pb::RecommendRequest {
                user_id: user_id.clone(),
                placement: self.placement.clone(),
                ..Default::default()
            };
            let list = backend.recommend(request).await;
            let list = list.map_err(|status| status.message().to_owned())?;
            let likes = |item: &pb::ScoredItem| {
                if liked.contains(&item.item_id) { ATTRACTION.0 } else { ATTRACTION.1 }
            };
            let attractions: Vec<f64> = list.items.iter().map(likes).collect();
            let looks = browsing.browse(&attractions, rng);

            let mut events = Vec::new();
            for (look, item) in looks.iter().zip(&list.items) {
                let mut note = |kind| {
                    let id = list.recommendation_id.as_str();
                    events.push(event(kind, &user_id, item.item_id.clone(), id));
                };
                note(pb::EventKind::Impression);
                if look.clicked {
                    note(pb::EventKind::Click);
                    note(pb::EventKind::View);
                    done.clicks += 1;
                }
                if look.bought {
                    note(pb::EventKind::Purchase);
                    done.purchases += 1;
                }
            }
            done.lists += 1;
            done.looks += looks.len() as u64;
            write(backend, events).await?;
        }
        Ok(())
    }
}

impl Tastes {
    /// Reads the most bought items, and what is similar to each.
    async fn read(backend: &Backend) -> Result<Self, Failure> {
        let said = |status: super::backend::Refused| status.message().to_owned();
        let request = pb::PopularRequest { limit: TASTES, ..Default::default() };
        let popular = backend.popular(request).await.map_err(said)?;
        let mut tastes = Vec::new();
        for item in popular.items {
            let item_id = item.item_id;
            let request = pb::SimilarItemsRequest {
                item_id: item_id.clone(),
                limit: ALIKE,
                ..Default::default()
            };
            let similar = backend.similar_items(request).await.map_err(said)?;
            let alike = similar.items.into_iter().map(|item| item.item_id);
            tastes.push(alike.chain([item_id]).collect());
        }
        if tastes.is_empty() {
            return Err("the store has no item that was bought: import a log first".into());
        }
        Ok(Self(tastes))
    }

    /// The items that a user likes: those of two tastes.
    fn draw(&self, rng: &mut StdRng) -> HashSet<&String> {
        let mut of = |_| &self.0[rng.random_range(0..self.0.len())];
        let (one, other) = (of(0), of(1));
        one.union(other).collect()
    }
}

fn event(kind: pb::EventKind, user_id: &str, item_id: String, answer: &str) -> pb::Event {
    let dwell = (kind == pb::EventKind::View).then_some(DWELL_MS);
    pb::Event {
        kind: kind.into(),
        user_id: user_id.to_owned(),
        item_id,
        recommendation_id: answer.to_owned(),
        dwell_ms: dwell,
        ..Default::default()
    }
}

async fn write(backend: &Backend, events: Vec<pb::Event>) -> Result<(), Failure> {
    if events.is_empty() {
        return Ok(());
    }
    let written = backend.write_events(events).await;
    let written = written.map_err(|status| status.message().to_owned())?;
    match written.errors.first() {
        Some(error) => Err(format!("an event is refused: {}", error.message).into()),
        None => Ok(()),
    }
}
