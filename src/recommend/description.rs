//! How lists are made, in words, for a page that tells users: the main parameters and their weights.

use crate::domain::Generation;
use crate::model::{Manifest, Source};

/// A language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// English.
    English,
    /// Chinese, in simplified characters.
    Chinese,
}

/// How lists are made.
#[derive(Debug, Clone, PartialEq)]
pub struct Description {
    /// The model; 0 before the first.
    pub generation: Generation,
    /// Sentences.
    pub sentences: Vec<String>,
    /// The sources with their shares of all weights, the weightiest first, and what they do.
    pub sources: Vec<(Source, f64, &'static str)>,
}

/// Describes the lists of a model; without one, those of popular items.
pub fn describe(manifest: Option<&Manifest>, language: Language) -> Description {
    let Some(manifest) = manifest else {
        let sentence = match language {
            Language::English => {
                "No model is trained yet: lists show what sells best in the store."
            }
            Language::Chinese => "尚未训练模型：列表显示本店最畅销的商品。",
        };
        let (generation, sentences) = (0, vec![sentence.to_owned()]);
        return Description { generation, sentences, sources: Vec::new() };
    };

    let blend = &manifest.settings.blend;
    let all: f64 = blend.sources().iter().map(|source| f64::from(blend.weight(*source))).sum();
    let mut sources: Vec<(Source, f64, &'static str)> = blend
        .sources()
        .into_iter()
        .map(|source| {
            (source, f64::from(blend.weight(source)) / all.max(1e-9), words(source, language))
        })
        .collect();
    sources.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    Description {
        generation: manifest.generation,
        sentences: sentences(manifest, language),
        sources,
    }
}

fn sentences(manifest: &Manifest, language: Language) -> Vec<String> {
    let day = jiff::Timestamp::from_millisecond(manifest.newest_ms).unwrap_or_default();
    let day = day.strftime("%Y-%m-%d");
    let half_life = manifest.settings.item_cf.weighting.profile_half_life_days;
    let users = manifest.users;

    let mut sentences = match language {
        Language::English => vec![
            format!(
                "Lists are ordered by a score that is computed from what {users} users of this store did \
                 until {day}, and from what you do now."
            ),
            "What counts is which items you viewed, marked as favourites, put into the cart, rated and \
             bought, in rising weight up to the purchase; what you returned does not count."
                .to_owned(),
            "Several sources propose items; each has a weight, which is fitted so that the lists predict \
             what users of this store take next."
                .to_owned(),
        ],
        Language::Chinese => vec![
            format!("列表按分数排序，分数由本店 {users} 位用户截至 {day} 的行为以及您当前的行为计算得出。"),
            "计入的行为包括浏览、加入购物车、收藏、评分和购买，购买的权重最高；已退货的商品不计入。".to_owned(),
            "商品由多个来源推荐，每个来源各有权重；权重经过拟合，使列表能够预测本店用户接下来的选择。".to_owned(),
        ],
    };

    if half_life > 0.0 {
        sentences.push(match language {
            Language::English => {
                format!("Your older behaviour fades: after {half_life:.0} days it counts half.")
            }
            Language::Chinese => format!("较早的行为影响会减弱：{half_life:.0} 天后权重减半。"),
        });
    }

    sentences.push(
        match language {
            Language::English => {
                "You can turn personalisation off: your lists are then those of a user of whom nothing \
                 is known. You can also delete single tags."
            }
            Language::Chinese => {
                "您可以关闭个性化推荐：关闭后，列表与没有任何行为记录的用户相同。您也可以删除单个标签。"
            }
        }
        .to_owned(),
    );
    sentences
}

fn words(source: Source, language: Language) -> &'static str {
    let (english, chinese) = match source {
        Source::ItemCf => {
            ("items that users of your items took too", "购买过您所选商品的用户也选择的商品")
        }
        Source::UserCf => {
            ("items of users who took the same as you", "与您选择相同的用户所选的商品")
        }
        Source::Embedding => (
            "items near to your taste, learned from all users",
            "由全体用户行为学习得出、接近您喜好的商品",
        ),
        Source::Ease => ("items that your items predict together", "由您所选商品共同预测的商品"),
        Source::GraphFilter => (
            "items that follow from whole patterns of users and items",
            "由用户与商品的整体关联得出的商品",
        ),

        Source::Repeat => {
            ("what you bought before and may need again", "您购买过、可能再次需要的商品")
        }
        Source::Session => {
            ("what followed in visits like this one", "与本次访问相似的访问中随后被选择的商品")
        }
        Source::Transition => (
            "what others took right after your last items",
            "其他用户在您最近所选商品之后选择的商品",
        ),

        Source::Revisit => {
            ("what you looked at lately and may come back to", "您最近看过、可能再次查看的商品")
        }
        Source::Sequence => {
            ("items that come next, learned from users' steps", "由用户行为顺序得出的后续商品")
        }

        Source::Popular => {
            ("what sells best in the store, for all alike", "本店最畅销的商品，对所有人相同")
        }
        Source::Content => (
            "items alike in texts, categories, brands and prices",
            "在文字、类目、品牌和价格上相似的商品",
        ),

        Source::PushedEmbedding => (
            "items near to your taste, by a model of the shop's own",
            "由店铺自有模型得出、接近您喜好的商品",
        ),
        Source::PushedItems => (
            "items alike to yours, by a model of the shop's own",
            "由店铺自有模型得出、与您所选商品相似的商品",
        ),
        Source::PushedUsers => (
            "items of users alike to you, by a model of the shop's own",
            "由店铺自有模型得出、与您相似的用户所选的商品",
        ),
        Source::PushedPrior => {
            ("scores of items by the shop, for all alike", "店铺给出的商品评分，对所有人相同")
        }

        Source::Catalog | Source::BoughtTogether | Source::Fresh | Source::Category => {
            ("items of the catalogue", "商品目录中的商品")
        }
    };

    match language {
        Language::English => english,
        Language::Chinese => chinese,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_shares_and_every_source_has_words() {
        let manifest = Manifest { generation: 3, users: 40, ..Manifest::default() };
        for language in [Language::English, Language::Chinese] {
            let described = describe(Some(&manifest), language);
            let sum: f64 = described.sources.iter().map(|source| source.1).sum();
            assert!((sum - 1.0).abs() < 1e-6 && described.generation == 3);
            assert!(described.sources.windows(2).all(|pair| pair[0].1 >= pair[1].1));
            assert!(described.sentences.iter().any(|sentence| sentence.contains("40")));
            assert_eq!(describe(None, language).sentences.len(), 1);
        }
        let words_of: Vec<_> = Source::BLENDED.map(|of| words(of, Language::Chinese)).to_vec();
        let distinct: std::collections::BTreeSet<_> = words_of.iter().collect();
        assert_eq!(distinct.len(), Source::BLENDED.len());
    }
}
