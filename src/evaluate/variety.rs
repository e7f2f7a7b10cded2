//! What variety costs and gains: the blend's lists with MMR and with a DPP at several weights of
//! relevance, their quality against coverage, Gini and the likeness of the items of a list.

use rayon::prelude::*;

use super::harness::{AtK, Case, Harness};
use crate::domain::ItemIdx;
use crate::recommend::{self, Diversifier, Likeness, Query, Scratch, Variety};

/// Weights of relevance that are tried.
const LAMBDAS: [f32; 4] = [0.9, 0.7, 0.5, 0.3];

/// The blend's lists with a variety.
#[derive(Debug, Clone)]
pub struct Varied {
    /// The variety; none: the blend's own lists.
    pub variety: Option<Variety>,
    /// Their metrics at each k.
    pub at: Vec<AtK>,
    /// The mean likeness of two items of a list, at each k: by who takes them, and by what they are
    /// (intra-list similarity: Ziegler et al., WWW 2005), from 0 to 1.
    pub alike: Vec<(f64, f64)>,
}

impl Harness<'_> {
    /// Scores the blend's lists without variety and with each that is tried, at each of `ks`.
    pub fn varied(&self, cases: &[Case], ks: &[usize]) -> Vec<Varied> {
        let both = [Diversifier::Mmr, Diversifier::Dpp];
        let tried = both.into_iter().flat_map(|by| {
            LAMBDAS.map(|lambda| Some(Variety { by, lambda, ..Variety::default() }))
        });
        let all = std::iter::once(None).chain(tried);
        all.map(|variety| self.with_variety(variety, cases, ks)).collect()
    }

    fn with_variety(&self, variety: Option<Variety>, cases: &[Case], ks: &[usize]) -> Varied {
        let longest = ks.iter().copied().max().unwrap_or(0);
        let list = |scratch: &mut Scratch, case: &Case| -> Vec<ItemIdx> {
            self.ask(case, None, longest, |query| {
                let query = Query { variety: variety.as_ref(), ..*query };
                let list = recommend::recommend(self.snapshot, &query, scratch);
                list.items.iter().map(|recommended| recommended.item).collect()
            })
        };
        let lists: Vec<Vec<ItemIdx>> = cases.par_iter().map_init(Scratch::default, list).collect();

        let alike = |by: Likeness, k: usize| {
            let of_list = |list: &Vec<ItemIdx>| {
                let shown = &list[..k.min(list.len())];
                recommend::mean_likeness(self.snapshot, self.catalogue, by, shown)
            };
            lists.par_iter().map(of_list).sum::<f64>() / lists.len().max(1) as f64
        };
        let each = |&k: &usize| (alike(Likeness::Behaviour, k), alike(Likeness::Content, k));
        let alike = ks.iter().map(each).collect();
        Varied { variety, at: self.at_each(&lists, cases, ks), alike }
    }
}
