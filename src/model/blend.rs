//! How a snapshot's sources are blended into one list.

use serde::{Deserialize, Serialize};

use super::source::candidate_sources;
use super::{Pushed, Source};

macro_rules! define_weights {
    ($($(#[$doc:meta])* $module:ident: $variant:ident = $number:literal, weight $weight:literal, $origin:ident;)*) => {
        /// Weights of the sources, after each is scaled to a maximum of 1; 0: not asked.
        #[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct BlendSettings {
            /// Candidates taken from each source.
            pub candidates: usize,
            $(
                /// Weight of this source:
                $(#[$doc])*
                pub $module: f32,
            )*
        }

        impl Default for BlendSettings {
            fn default() -> Self {
                Self { candidates: 120, $($module: $weight,)* }
            }
        }

        impl BlendSettings {
            /// The weight of a source; 0 for one that the blend does not ask.
            pub fn weight(&self, source: Source) -> f32 {
                match source {
                    $(Source::$variant => self.$module,)*
                    _ => 0.0,
                }
            }

            /// Sets the weight of a source; nothing for one that the blend does not ask.
            pub fn set_weight(&mut self, source: Source, weight: f32) {
                match source {
                    $(Source::$variant => self.$module = weight,)*
                    _ => {}
                }
            }
        }
    };
}
candidate_sources!(define_weights);

impl BlendSettings {
    /// The sources that are asked.
    pub fn sources(&self) -> Vec<Source> {
        Source::BLENDED.into_iter().filter(|&source| self.weight(source) > 0.0).collect()
    }

    /// The largest weight of a trained source of behaviour.
    pub fn largest_of_behaviour(&self) -> f32 {
        let of_behaviour = Source::TRAINED.into_iter().filter(|of| *of != Source::Content);
        of_behaviour.map(|source| self.weight(source)).fold(0.0, f32::max)
    }

    /// The weight of content relative to that; 0 where no source of behaviour counts.
    pub fn share_of_content(&self) -> f32 {
        let largest = self.largest_of_behaviour();
        if largest > 0.0 { self.content / largest } else { 0.0 }
    }

    /// The same with these weights for the sources that `pushed` has, and 0 for pushed sources
    /// that it lacks.
    pub fn with_pushed(self, pushed: &Pushed, weight: impl Fn(Source) -> f32) -> Self {
        let mut blend = self;
        let there = pushed.sources();
        for source in Source::PUSHED {
            blend.set_weight(source, if there.contains(&source) { weight(source) } else { 0.0 });
        }
        blend
    }
}
