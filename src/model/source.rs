//! The candidate sources, by name.

use serde::{Deserialize, Serialize};

/// A way to propose items.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Item-based collaborative filtering.
    ItemCf,
    /// User-based collaborative filtering.
    UserCf,
    /// Nearest neighbours of the shopper's embedding.
    Embedding,
    /// Item weights of a closed-form linear autoencoder.
    Ease,
    /// What the shopper bought before and may need again.
    Repeat,
    /// What followed in sessions like the running one.
    Session,
    /// What others took right after the shopper's last items.
    Transition,
    /// Popularity, not personal.
    Popular,
    /// Nearest neighbours of the shopper among pushed embeddings.
    PushedEmbedding,
    /// Pushed neighbours of the shopper's items.
    PushedItems,
    /// What the shopper's pushed neighbours have.
    PushedUsers,
    /// Pushed scores of items, not personal.
    PushedPrior,
    /// The catalogue, in its order.
    Catalog,
    /// Bought in the same baskets.
    BoughtTogether,
    /// Taken by the same shoppers since the model was trained.
    Fresh,
    /// Alike in what the catalogue says of them.
    Content,
    /// Bought together with others of the category.
    Category,
}

impl Source {
    /// The sources that the server trains itself, in the blend's order.
    pub const TRAINED: [Source; 8] = [
        Source::ItemCf,
        Source::UserCf,
        Source::Embedding,
        Source::Ease,
        Source::Repeat,
        Source::Session,
        Source::Transition,
        Source::Popular,
    ];

    /// The sources that are trained elsewhere, in the blend's order.
    pub const PUSHED: [Source; 4] =
        [Source::PushedEmbedding, Source::PushedItems, Source::PushedUsers, Source::PushedPrior];

    /// The sources that the blend may ask, in its order: those trained here come first.
    pub const BLENDED: [Source; 12] = {
        let mut all = [Source::ItemCf; 12];
        let mut at = 0;
        while at < all.len() {
            let trained = Self::TRAINED.len();
            all[at] = if at < trained { Self::TRAINED[at] } else { Self::PUSHED[at - trained] };
            at += 1;
        }
        all
    };

    /// Name for people and programs.
    pub fn name(self) -> &'static str {
        match self {
            Source::ItemCf => "item_cf",
            Source::UserCf => "user_cf",
            Source::Embedding => "embedding",
            Source::Ease => "ease",
            Source::Repeat => "repeat",
            Source::Session => "session",
            Source::Transition => "transition",
            Source::Popular => "popular",
            Source::PushedEmbedding => "pushed_embedding",
            Source::PushedItems => "pushed_items",
            Source::PushedUsers => "pushed_users",
            Source::PushedPrior => "pushed_prior",
            Source::Catalog => "catalog",
            Source::BoughtTogether => "bought_together",
            Source::Fresh => "fresh",
            Source::Content => "content",
            Source::Category => "category",
        }
    }
}
