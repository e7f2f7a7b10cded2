//! Reasons with their names, and as a sentence.

use super::request::{Explanation, LedBy};
use crate::domain::{EventKind, Item, ItemIdx};
use crate::live::Live;
use crate::model::Source;
use crate::recommend::{Reasons, Recommended};
use crate::rules::CompiledRules;

/// Maximum number of shared attributes that are named.
const SHARED: usize = 5;

/// The explanation of an item of a list.
pub(super) fn explanation(
    live: &Live,
    item: &Recommended,
    reasons: Reasons,
    rules: &CompiledRules,
) -> Explanation {
    let led = reasons.led_by.first().map(|(event, _)| *event);
    let shared = led.map_or_else(Vec::new, |event| shared(live, item.item, event.item));
    let names = live.items.read();
    let led_by = reasons.led_by.iter().map(|(event, share)| LedBy {
        item_id: names.id(event.item).to_owned(),
        kind: event.kind,
        time_ms: event.time_ms,
        share: *share,
    });
    let led_by = led_by.collect();
    drop(names);

    let says = Says {
        lead: reasons.shares.first().map_or(item.source, |(source, _)| *source),
        led: led.map(|event| (event.kind, title(live, event.item))),
        shared: &shared,
        similar_users: reasons.similar_users,
        due: reasons.due,
    };
    Explanation {
        sentence_en: says.in_english(),
        sentence_zh: says.in_chinese(),
        blend_score: reasons.blend_score(),
        shares: reasons.shares,
        second_stage: reasons.second_stage,
        room: reasons.room,
        fatigue: reasons.fatigue,
        objective: reasons.objective,
        variety: reasons.variety,
        rules: reasons
            .rules
            .iter()
            .map(|&(at, part)| (rules.rule(at).rule.name.clone(), part))
            .collect(),
        led_by,
        similar_users: reasons.similar_users,
        shared,
        due: reasons.due,
    }
}

/// The title of an item; without one its id.
fn title(live: &Live, item: ItemIdx) -> String {
    let title = live.catalogue.read().get(item).map(|item| item.title.clone());
    title.filter(|title| !title.is_empty()).unwrap_or_else(|| live.items.read().id(item).to_owned())
}

/// What two items have in common: names and values.
fn shared(live: &Live, one: ItemIdx, other: ItemIdx) -> Vec<(String, String)> {
    let catalogue = live.catalogue.read();
    let (Some(one), Some(other)) = (catalogue.get(one), catalogue.get(other)) else {
        return Vec::new();
    };
    let mut shared = Vec::new();
    let categories = one.categories.iter().filter(|path| other.categories.contains(path));
    shared.extend(categories.map(|path| ("category".to_owned(), path.clone())));
    if !one.brand.is_empty() && one.brand == other.brand {
        shared.push(("brand".to_owned(), one.brand.clone()));
    }
    let tags = one.tags.iter().filter(|tag| other.tags.contains(tag));
    shared.extend(tags.map(|tag| ("tag".to_owned(), tag.clone())));
    let same = |(name, value): &(&String, &String)| {
        other.attributes.get(*name).is_some_and(|of_other| of_other == *value)
    };
    let attributes = short_attributes(one).filter(same);
    shared.extend(attributes.map(|(name, value)| (name.clone(), value.clone())));
    shared.truncate(SHARED);
    shared
}

fn short_attributes(item: &Item) -> impl Iterator<Item = (&String, &String)> {
    item.attributes.iter().filter(|(_, value)| !value.is_empty() && value.len() <= 100)
}

/// What a sentence says.
struct Says<'a> {
    lead: Source,
    led: Option<(EventKind, String)>,
    shared: &'a [(String, String)],
    similar_users: u32,
    due: Option<(f32, f32)>,
}

impl Says<'_> {
    fn in_english(&self) -> String {
        if let (Source::Repeat, Some((usual, since))) = (self.lead, self.due) {
            return format!(
                "Usually bought every {} days, last {} days ago",
                usual.round(),
                since.round()
            );
        }

        let because = self.led.as_ref().map(|(kind, title)| {
            let verb = match kind {
                EventKind::Purchase => "bought",
                EventKind::AddToCart => "added to your cart",
                EventKind::Favorite => "marked as a favourite",
                EventKind::Rating => "rated",
                _ => "viewed",
            };
            format!("Because you {verb} “{title}”")
        });
        let alike = self.shared.first().filter(|_| self.lead == Source::Content);
        let alike = alike.map(|(name, value)| format!("same {name}: {value}"));
        let taken = (self.similar_users > 0).then(|| match self.similar_users {
            1 => "a user with similar taste took it".to_owned(),
            n => format!("{n} users with similar taste took it"),
        });
        match (because, alike.or(taken)) {
            (Some(because), Some(more)) => format!("{because}; {more}"),
            (Some(because), None) => because,
            (None, Some(more)) => capitalised(&more),
            (None, None) => capitalised(self.lead_in_english()),
        }
    }

    fn lead_in_english(&self) -> &'static str {
        match self.lead {
            Source::Popular => "popular now",
            Source::Catalog => "from the catalogue",
            Source::Fresh => "taken lately by users who took the same items",
            Source::Content => "similar to what you looked at",
            Source::Category => "bought with items of this category",
            _ => "fits your taste",
        }
    }

    fn in_chinese(&self) -> String {
        if let (Source::Repeat, Some((usual, since))) = (self.lead, self.due) {
            let (usual, since) = (usual.round(), since.round());
            return format!("通常每{usual}天购买一次，上次购买是在{since}天前");
        }

        let because = self.led.as_ref().map(|(kind, title)| {
            let verb = match kind {
                EventKind::Purchase => "购买了",
                EventKind::AddToCart => "将其加入购物车：",
                EventKind::Favorite => "收藏了",
                EventKind::Rating => "评价了",
                _ => "浏览了",
            };
            format!("因为您{verb}“{title}”")
        });
        let alike = self.shared.first().filter(|_| self.lead == Source::Content);
        let alike = alike.map(|(name, value)| format!("相同的{}：{value}", chinese(name)));
        let taken = (self.similar_users > 0)
            .then(|| format!("有{}位口味相近的用户选择了它", self.similar_users));
        match (because, alike.or(taken)) {
            (Some(because), Some(more)) => format!("{because}；{more}"),
            (Some(because), None) => because,
            (None, Some(more)) => more,
            (None, None) => self.lead_in_chinese().to_owned(),
        }
    }

    fn lead_in_chinese(&self) -> &'static str {
        match self.lead {
            Source::Popular => "近期热门",
            Source::Catalog => "来自商品目录",
            Source::Fresh => "选择相同商品的用户最近也选择了它",
            Source::Content => "与您浏览过的商品相似",
            Source::Category => "常与该类商品一起购买",
            _ => "符合您的口味",
        }
    }
}

/// The name of a field in Chinese; of an attribute, its own.
fn chinese(name: &str) -> &str {
    match name {
        "category" => "类别",
        "brand" => "品牌",
        "tag" => "标签",
        other => other,
    }
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_say_the_leading_reason() {
        let shared = [("brand".to_owned(), "Lux".to_owned())];
        let says = Says {
            lead: Source::Repeat,
            led: Some((EventKind::Purchase, "Green tea".into())),
            shared: &shared,
            similar_users: 3,
            due: Some((28.2, 25.0)),
        };
        assert_eq!(says.in_english(), "Usually bought every 28 days, last 25 days ago");
        assert_eq!(says.in_chinese(), "通常每28天购买一次，上次购买是在25天前");
        let says = Says { lead: Source::Content, ..says };
        assert_eq!(says.in_english(), "Because you bought “Green tea”; same brand: Lux");
        assert_eq!(says.in_chinese(), "因为您购买了“Green tea”；相同的品牌：Lux");
        let says = Says { lead: Source::UserCf, led: None, ..says };
        assert_eq!(says.in_english(), "3 users with similar taste took it");
        let says = Says { lead: Source::Popular, similar_users: 0, ..says };
        assert_eq!(
            (says.in_english(), says.in_chinese()),
            ("Popular now".into(), "近期热门".into())
        );
    }
}
