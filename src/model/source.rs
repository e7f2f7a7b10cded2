//! The candidate sources, by name. This list is the one place that names them all: the blend,
//! the settings of its weights, the trainer, the tuner, the wire and the command line read it.

use serde::{Deserialize, Serialize};

/// Passes the list of candidate sources to a macro: module and type in `sources`, number in
/// the protocol, default weight in the blend, and where the source is trained.
///
/// Snapshots store positions in this list: append new sources at its end.
macro_rules! candidate_sources {
    ($callback:ident) => {
        $callback! {
            /// Item-based collaborative filtering.
            item_cf: ItemCf = 1, weight 0.6, Trained;
            /// User-based collaborative filtering.
            user_cf: UserCf = 2, weight 0.6, Trained;
            /// Nearest neighbours of the user's embedding.
            embedding: Embedding = 3, weight 0.3, Trained;
            /// Item weights of a closed-form linear autoencoder.
            ease: Ease = 7, weight 1.0, Trained;
            /// What the user bought before and may need again.
            repeat: Repeat = 8, weight 1.0, Trained;
            /// What followed in sessions like the running one.
            session: Session = 9, weight 0.0, Trained;
            /// What others took right after the user's last items.
            transition: Transition = 10, weight 0.0, Trained;
            /// Popularity, not personal.
            popular: Popular = 4, weight 0.05, Trained;
            /// Nearest neighbours of the user among pushed embeddings.
            pushed_embedding: PushedEmbedding = 14, weight 0.0, Pushed;
            /// Pushed neighbours of the user's items.
            pushed_items: PushedItems = 15, weight 0.0, Pushed;
            /// What the user's pushed neighbours have.
            pushed_users: PushedUsers = 16, weight 0.0, Pushed;
            /// Pushed scores of items, not personal.
            pushed_prior: PushedPrior = 17, weight 0.0, Pushed;
            /// Alike in what they are: texts, categories, brands, tags, attributes, prices, vectors.
            content: Content = 12, weight 0.1, Trained;
            /// What the low frequencies of the user-item graph let through.
            graph_filter: GraphFilter = 18, weight 0.0, Trained;
            /// What the user looked at lately, and may come back to.
            revisit: Revisit = 19, weight 0.0, Trained;
            /// Nearest neighbours of the user's last steps among vectors learned from what came next.
            sequence: Sequence = 20, weight 0.0, Trained;
        }
    };
}
pub(crate) use candidate_sources;

/// Where a source of the blend is trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// By the server.
    Trained,
    /// Elsewhere.
    Pushed,
}

macro_rules! define_sources {
    ($($(#[$doc:meta])* $module:ident: $variant:ident = $number:literal, weight $weight:literal, $origin:ident;)*) => {
        /// A way to propose items.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Source {
            $($(#[$doc])* $variant,)*
            /// The catalogue, in its order.
            Catalog,
            /// Bought in the same baskets.
            BoughtTogether,
            /// Taken by the same users since the model was trained.
            Fresh,
            /// Bought together with other items of the category.
            Category,
        }

        impl Source {
            /// The sources that the blend may ask, in its order.
            pub const BLENDED: [Source; [$($number),*].len()] = [$(Source::$variant),*];

            /// Where a source of the blend is trained; none for the others.
            pub const fn origin(self) -> Option<Origin> {
                match self {
                    $(Source::$variant => Some(Origin::$origin),)*
                    _ => None,
                }
            }

            /// Name for people and programs.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Source::$variant => stringify!($module),)*
                    Source::Catalog => "catalog",
                    Source::BoughtTogether => "bought_together",
                    Source::Fresh => "fresh",
                    Source::Category => "category",
                }
            }

            /// Its number in the protocol.
            pub const fn number(self) -> i32 {
                match self {
                    $(Source::$variant => $number,)*
                    Source::Catalog => 5,
                    Source::BoughtTogether => 6,
                    Source::Fresh => 11,
                    Source::Category => 13,
                }
            }
        }
    };
}
candidate_sources!(define_sources);

impl Source {
    /// The sources that the server trains, in the blend's order.
    pub const TRAINED: [Source; count(Origin::Trained)] = of_origin(Origin::Trained);

    /// The sources that are trained elsewhere, in the blend's order.
    pub const PUSHED: [Source; count(Origin::Pushed)] = of_origin(Origin::Pushed);

    /// The source of the blend with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::BLENDED.into_iter().find(|source| source.name() == name)
    }

    /// The source of the blend with this number in the protocol.
    pub fn numbered(number: i32) -> Option<Self> {
        Self::BLENDED.into_iter().find(|source| source.number() == number)
    }
}

const fn is_from(source: Source, origin: Origin) -> bool {
    match source.origin() {
        Some(own) => own as u8 == origin as u8,
        None => false,
    }
}

const fn count(origin: Origin) -> usize {
    let mut count = 0;
    let mut at = 0;
    while at < Source::BLENDED.len() {
        count += is_from(Source::BLENDED[at], origin) as usize;
        at += 1;
    }
    count
}

const fn of_origin<const N: usize>(origin: Origin) -> [Source; N] {
    let mut found = [Source::BLENDED[0]; N];
    let mut len = 0;
    let mut at = 0;
    while at < Source::BLENDED.len() {
        if is_from(Source::BLENDED[at], origin) {
            found[len] = Source::BLENDED[at];
            len += 1;
        }
        at += 1;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_source_is_found_by_its_name_and_its_number() {
        for source in Source::BLENDED {
            assert_eq!(Source::named(source.name()), Some(source));
            assert_eq!(Source::numbered(source.number()), Some(source));
        }
        assert_eq!(Source::TRAINED.len() + Source::PUSHED.len(), Source::BLENDED.len());
        assert_eq!(Source::PUSHED[0], Source::PushedEmbedding);
        assert_eq!((Source::named("catalog"), Source::numbered(5)), (None, None));
    }
}
