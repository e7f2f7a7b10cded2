//! Saved segments and audiences between the protocol and the domain.

use crate::api::wire::pb::user_condition::Kind;
use crate::api::wire::{pb, rules};
use crate::domain::{Violation, limits};
use crate::engine::insight::audience::{AudienceRequest, Member, Offer};
use crate::insight::UserSegment;
use crate::insight::segment::{Figure, MAX_USER_SEGMENTS, UserCondition};

/// The least share of a leaning where a condition does not say.
const MIN_SHARE: f64 = 0.2;
/// The coming days of an audience where a request does not say.
const DAYS: u32 = 30;
/// Maximum number of coming days.
const MAX_DAYS: u32 = 366;
/// Number of users of an audience where a request does not say.
const USERS: u32 = 1_000;
/// Maximum number of users of an audience.
const MAX_USERS: u32 = 1_000_000;
/// Largest discount.
const MAX_DISCOUNT: f64 = 0.999_999;

/// The saved segments of a request. Limits are the engine's to check.
///
/// # Errors
/// The field that is absent, or not one of the protocol's words.
pub fn segments(given: Vec<pb::UserSegment>) -> Result<Vec<UserSegment>, Violation> {
    let segment = |(at, given): (usize, pb::UserSegment)| {
        let field = format!("segments[{at}].condition");
        Ok(UserSegment { name: given.name, condition: condition(&field, given.condition)? })
    };
    given.into_iter().enumerate().map(segment).collect()
}

fn condition(field: &str, given: Option<pb::UserCondition>) -> Result<UserCondition, Violation> {
    let empty = || Violation::new(field, "must have a condition, is empty");
    let leaning = |of: pb::LeaningCondition| {
        (of.name, if of.min_share == 0.0 { MIN_SHARE } else { of.min_share })
    };

    Ok(match given.and_then(|given| given.kind).ok_or_else(empty)? {
        Kind::Attribute(of) => UserCondition::Attribute(of.name, of.values),
        Kind::RfmSegment(name) => UserCondition::RfmSegment(name),
        Kind::Tier(of) => UserCondition::Tier(of.program, of.level),
        Kind::Category(of) => {
            let (name, share) = leaning(of);
            UserCondition::Category(name, share)
        }
        Kind::Brand(of) => {
            let (name, share) = leaning(of);
            UserCondition::Brand(name, share)
        }
        Kind::Channel(name) => UserCondition::Channel(name),
        Kind::Figure(of) => figure_range(&format!("{field}.figure"), &of)?,
        Kind::Segment(name) => UserCondition::Segment(name),
        Kind::AllOf(parts) => UserCondition::All(conditions(&format!("{field}.all_of"), parts)?),
        Kind::AnyOf(parts) => UserCondition::Any(conditions(&format!("{field}.any_of"), parts)?),
        Kind::NoneOf(parts) => {
            let parts = conditions(&format!("{field}.none_of"), parts)?;
            UserCondition::Not(Box::new(UserCondition::Any(parts)))
        }
    })
}

fn conditions(field: &str, given: pb::UserConditions) -> Result<Vec<UserCondition>, Violation> {
    let parts = given.conditions.into_iter().enumerate();
    parts.map(|(at, part)| condition(&format!("{field}[{at}]"), Some(part))).collect()
}

fn figure_range(field: &str, given: &pb::FigureCondition) -> Result<UserCondition, Violation> {
    let known = FIGURES.iter().find(|(_, proto)| *proto as i32 == given.figure);
    let (figure, _) = known.ok_or_else(|| {
        let message = format!("must be 1 to {}, was {}", FIGURES.len(), given.figure);
        Violation::new(format!("{field}.figure"), message)
    })?;
    if given.min.is_none() && given.max.is_none() {
        return Err(Violation::new(field, "must have a min or a max, has neither"));
    }
    let far = limits::MAX_PRICE;
    let (min, max) = (given.min.unwrap_or(-far), given.max.unwrap_or(far));
    Ok(UserCondition::Figure(*figure, min, max))
}

/// Every figure, and its number in the protocol.
const FIGURES: [(Figure, pb::UserFigure); 10] = [
    (Figure::Orders, pb::UserFigure::Orders),
    (Figure::Spend, pb::UserFigure::Spend),
    (Figure::MeanSpend, pb::UserFigure::MeanSpend),
    (Figure::DaysSinceFirstOrder, pb::UserFigure::DaysSinceFirstOrder),
    (Figure::DaysSinceLastOrder, pb::UserFigure::DaysSinceLastOrder),
    (Figure::DaysSinceLastEvent, pb::UserFigure::DaysSinceLastEvent),
    (Figure::DaysUntilNextOrder, pb::UserFigure::DaysUntilNextOrder),
    (Figure::ChurnRisk, pb::UserFigure::ChurnRisk),
    (Figure::ExpectedPurchases, pb::UserFigure::ExpectedPurchases),
    (Figure::ExpectedSpend, pb::UserFigure::ExpectedSpend),
];

/// A saved segment as the protocol has it.
pub fn segment_proto(segment: &UserSegment) -> pb::UserSegment {
    let condition = Some(condition_proto(&segment.condition));
    pb::UserSegment { name: segment.name.clone(), condition }
}

fn condition_proto(condition: &UserCondition) -> pb::UserCondition {
    let all = |parts: &[UserCondition]| pb::UserConditions {
        conditions: parts.iter().map(condition_proto).collect(),
    };
    let leaning =
        |name: &String, min_share: f64| pb::LeaningCondition { name: name.clone(), min_share };

    let kind = match condition {
        UserCondition::Attribute(name, values) => {
            Kind::Attribute(pb::AttributeValues { name: name.clone(), values: values.clone() })
        }
        UserCondition::RfmSegment(name) => Kind::RfmSegment(name.clone()),
        UserCondition::Tier(program, level) => {
            Kind::Tier(pb::TierCondition { program: program.clone(), level: level.clone() })
        }
        UserCondition::Category(name, share) => Kind::Category(leaning(name, *share)),
        UserCondition::Brand(name, share) => Kind::Brand(leaning(name, *share)),
        UserCondition::Channel(name) => Kind::Channel(name.clone()),
        UserCondition::Figure(figure, min, max) => Kind::Figure(figure_proto(*figure, *min, *max)),
        UserCondition::Segment(name) => Kind::Segment(name.clone()),
        UserCondition::All(parts) => Kind::AllOf(all(parts)),
        UserCondition::Any(parts) => Kind::AnyOf(all(parts)),
        UserCondition::Not(part) => Kind::NoneOf(match &**part {
            UserCondition::Any(parts) => all(parts),
            part => all(std::slice::from_ref(part)),
        }),
    };
    pb::UserCondition { kind: Some(kind) }
}

fn figure_proto(figure: Figure, min: f64, max: f64) -> pb::FigureCondition {
    let far = limits::MAX_PRICE;
    let known = FIGURES.iter().find(|(of, _)| *of == figure);
    pb::FigureCondition {
        figure: known.map_or(0, |(_, proto)| *proto as i32),
        min: Some(min).filter(|min| *min > -far),
        max: Some(max).filter(|max| *max < far),
    }
}

/// The audience of a request.
///
/// # Errors
/// The field that breaks its limit.
pub fn audience(given: pb::ExportAudienceRequest) -> Result<AudienceRequest, Violation> {
    let number = |field, given: u32, usual: u32, most: u32| {
        let value = if given == 0 { usual } else { given };
        limits::number(field, f64::from(value), 1.0, f64::from(most)).map(|()| value)
    };
    limits::count("segments", given.segments.len(), 0, MAX_USER_SEGMENTS)?;
    limits::count("except_segments", given.except_segments.len(), 0, MAX_USER_SEGMENTS)?;
    let rest = f64::from(given.not_contacted_days);
    limits::number("not_contacted_days", rest, 0.0, f64::from(limits::MAX_DAYS))?;
    let offer = given.offer.map(|offer| self::offer(offer).map_err(|why| why.within("offer")));
    Ok(AudienceRequest {
        offer: offer.transpose()?,
        segments: given.segments,
        except_segments: given.except_segments,
        not_contacted_days: given.not_contacted_days,
        days: number("days", given.days, DAYS, MAX_DAYS)?,
        max_users: number("max_users", given.max_users, USERS, MAX_USERS)? as usize,
    })
}

fn offer(given: pb::AudienceOffer) -> Result<Offer, Violation> {
    let within = |violation: Violation| violation.within("items");
    let items = rules::select(given.items.unwrap_or_default()).map_err(within)?;
    items.validate().map_err(within)?;
    limits::number("discount", given.discount, 0.0, MAX_DISCOUNT)?;
    Ok(Offer { items, discount: given.discount })
}

/// A user of an audience as the protocol has them.
pub fn member(member: Member) -> pb::AudienceMember {
    let Member { user_id, gain, purchases, own_purchases, affinity } = member;
    pb::AudienceMember { user_id, gain, purchases, own_purchases, affinity }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: Kind) -> pb::UserCondition {
        pb::UserCondition { kind: Some(kind) }
    }

    #[test]
    fn segments_travel_there_and_back() {
        let figure = |figure: pb::UserFigure, min, max| {
            of(Kind::Figure(pb::FigureCondition { figure: figure.into(), min, max }))
        };
        let tier = pb::TierCondition { program: "club".into(), level: "gold".into() };
        let attribute =
            pb::AttributeValues { name: "country".into(), values: vec!["SE".into(), "NO".into()] };
        let leaning = |name: &str| pb::LeaningCondition { name: name.into(), min_share: 0.3 };
        let parts = vec![
            of(Kind::Attribute(attribute)),
            of(Kind::RfmSegment("loyal".into())),
            of(Kind::Tier(tier)),
            of(Kind::Category(leaning("tea"))),
            of(Kind::Brand(leaning("Kiln"))),
            of(Kind::Channel("app".into())),
            figure(pb::UserFigure::ChurnRisk, Some(0.5), None),
            figure(pb::UserFigure::DaysUntilNextOrder, Some(-3.0), Some(7.0)),
            of(Kind::NoneOf(pb::UserConditions {
                conditions: vec![of(Kind::Segment("first".into()))],
            })),
        ];
        let any = of(Kind::AnyOf(pb::UserConditions { conditions: parts }));
        let all = of(Kind::AllOf(pb::UserConditions { conditions: vec![any] }));
        let given = pb::UserSegment { name: "own".into(), condition: Some(all) };
        let read = segments(vec![given.clone()]).unwrap();
        assert_eq!(segment_proto(&read[0]), given);
        let stored = serde_json::to_string(&read).unwrap();
        assert_eq!(serde_json::from_str::<Vec<UserSegment>>(&stored).unwrap(), read, "{stored}");
    }

    #[test]
    fn what_is_absent_or_unknown_is_named() {
        let refused = |condition: Option<pb::UserCondition>| {
            let segment = pb::UserSegment { name: "own".into(), condition };
            segments(vec![segment]).unwrap_err().to_string()
        };
        let empty = "segments[0].condition: must have a condition, is empty";
        assert_eq!(refused(None), empty);
        let figure = |figure: i32, min| {
            refused(Some(of(Kind::Figure(pb::FigureCondition { figure, min, max: None }))))
        };
        assert!(figure(0, Some(1.0)).starts_with("segments[0].condition.figure.figure: must be 1"));
        assert!(figure(1, None).ends_with("must have a min or a max, has neither"));
        let request = |days: u32, discount: f64| pb::ExportAudienceRequest {
            offer: Some(pb::AudienceOffer {
                items: Some(pb::ItemSelection { item_ids: vec!["a".into()], ..Default::default() }),
                discount,
            }),
            days,
            ..Default::default()
        };
        assert_eq!(audience(request(0, 0.1)).unwrap().days, 30);
        assert_eq!(audience(request(367, 0.1)).unwrap_err().field, "days");
        assert_eq!(audience(request(1, 1.0)).unwrap_err().field, "offer.discount");
    }
}
