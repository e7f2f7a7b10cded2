//! Conversions of what a list is made of, for requests and for placements.

use crate::api::wire::pb;
use crate::domain::{Violation, limits};
use crate::model::{Source, Window};
use crate::recommend::{Diversifier, Likeness, RepeatPolicy, Variety};

/// A policy as the protocol has it, without its days.
pub fn policy(policy: RepeatPolicy) -> pb::RepeatPolicy {
    match policy {
        RepeatPolicy::Allow => pb::RepeatPolicy::Allow,
        RepeatPolicy::ExcludePurchased | RepeatPolicy::ExcludeWithin(_) => {
            pb::RepeatPolicy::ExcludePurchased
        }
        RepeatPolicy::WhenDue => pb::RepeatPolicy::WhenDue,
        RepeatPolicy::Auto => pb::RepeatPolicy::Unspecified,
    }
}

/// The source of a strategy; none for the blend.
pub fn strategy(value: i32) -> Result<Option<Source>, Violation> {
    if value == i32::from(pb::Source::Unspecified) {
        return Ok(None);
    }
    Source::numbered(value).map(Some).ok_or_else(|| {
        let message =
            format!("must be 0 (the blend), ITEM_CF or another source of the blend, was {value}");
        Violation::new("strategy", message)
    })
}

/// The policy of a request, with the days of EXCLUDE_PURCHASED.
pub fn repeat_policy(value: i32, days: i32) -> Result<Option<RepeatPolicy>, Violation> {
    let unknown = |_| Violation::new("repeat_policy", format!("must be 0 to 3, was {value}"));
    let policy = match pb::RepeatPolicy::try_from(value).map_err(unknown)? {
        pb::RepeatPolicy::Unspecified => None,
        pb::RepeatPolicy::Allow => Some(RepeatPolicy::Allow),
        pb::RepeatPolicy::ExcludePurchased => Some(RepeatPolicy::ExcludePurchased),
        pb::RepeatPolicy::WhenDue => Some(RepeatPolicy::WhenDue),
    };

    match (policy, u32::try_from(days)) {
        (policy, Ok(0)) => Ok(policy),
        (Some(RepeatPolicy::ExcludePurchased), Ok(days)) if days <= limits::MAX_DAYS => {
            Ok(Some(RepeatPolicy::ExcludeWithin(days)))
        }
        _ => {
            let max = limits::MAX_DAYS;
            let message = format!(
                "must be 0 to {max}, and 0 unless repeat_policy is EXCLUDE_PURCHASED, was {days}"
            );
            Err(Violation::new("exclude_purchased_days", message))
        }
    }
}

/// Weight of relevance where a request for variety does not say.
const RELEVANCE: f64 = 0.7;

/// The variety of a request.
pub fn variety(given: pb::Variety) -> Result<Variety, Violation> {
    let lambda = given.relevance.unwrap_or(RELEVANCE);
    limits::number("variety.relevance", lambda, 0.0, 1.0)?;
    limits::number("variety.exploration", given.exploration, 0.0, 0.5)?;
    let cap = |field: &str, value: i32| match usize::try_from(value) {
        Ok(cap) if cap <= limits::MAX_LIMIT => Ok(cap),
        _ => {
            let message = format!("must be 0 to {}, was {value}", limits::MAX_LIMIT);
            Err(Violation::new(field, message))
        }
    };
    let unknown =
        |field: &str, value| Violation::new(field, format!("must be 0 to 2, was {value}"));
    let by = match pb::Diversifier::try_from(given.diversifier) {
        Ok(pb::Diversifier::Unspecified | pb::Diversifier::Mmr) => Diversifier::Mmr,
        Ok(pb::Diversifier::Dpp) => Diversifier::Dpp,
        Err(_) => return Err(unknown("variety.diversifier", given.diversifier)),
    };
    let likeness = match pb::Likeness::try_from(given.likeness) {
        Ok(pb::Likeness::Unspecified | pb::Likeness::Behaviour) => Likeness::Behaviour,
        Ok(pb::Likeness::Content) => Likeness::Content,
        Err(_) => return Err(unknown("variety.likeness", given.likeness)),
    };

    Ok(Variety {
        by,
        likeness,
        lambda: lambda as f32,
        max_of_brand: cap("variety.max_of_brand", given.max_of_brand)?,
        max_of_category: cap("variety.max_of_category", given.max_of_category)?,
        one_of_group: given.one_of_group,
        exploration: given.exploration as f32,
    })
}

/// A window of popular items.
pub fn window(value: i32) -> Result<Window, Violation> {
    match pb::Window::try_from(value) {
        Ok(pb::Window::Unspecified | pb::Window::Window30Days) => Ok(Window::Days30),
        Ok(pb::Window::Window7Days) => Ok(Window::Days7),
        Ok(pb::Window::AllTime) => Ok(Window::AllTime),
        Err(_) => Err(Violation::new("window", format!("must be 0 to 3, was {value}"))),
    }
}

/// A window as the protocol has it.
pub fn window_proto(window: Window) -> pb::Window {
    match window {
        Window::Days30 => pb::Window::Window30Days,
        Window::Days7 => pb::Window::Window7Days,
        Window::AllTime => pb::Window::AllTime,
    }
}

/// Variety as the protocol has it.
pub fn variety_proto(variety: &Variety) -> pb::Variety {
    let by = match variety.by {
        Diversifier::Mmr => pb::Diversifier::Mmr,
        Diversifier::Dpp => pb::Diversifier::Dpp,
    };
    let likeness = match variety.likeness {
        Likeness::Behaviour => pb::Likeness::Behaviour,
        Likeness::Content => pb::Likeness::Content,
    };
    pb::Variety {
        diversifier: by.into(),
        likeness: likeness.into(),
        relevance: Some(variety.lambda.into()),
        max_of_brand: variety.max_of_brand as i32,
        max_of_category: variety.max_of_category as i32,
        one_of_group: variety.one_of_group,
        exploration: variety.exploration.into(),
    }
}
