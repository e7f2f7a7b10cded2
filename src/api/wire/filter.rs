//! Checks and converts the filter of a request.

use crate::api::wire::pb;
use crate::api::wire::pb::condition::Kind;
use crate::domain::{Violation, limits};
use crate::live::{Condition, Filter};

/// The filter of a request.
pub fn filter(given: Option<pb::Filter>) -> Result<Filter, Violation> {
    let pb::Filter { categories, include_unavailable, condition } = given.unwrap_or_default();
    limits::count("filter.categories", categories.len(), 0, limits::MAX_CATEGORIES)?;
    for (i, category) in categories.iter().enumerate() {
        limits::id(&format!("filter.categories[{i}]"), category)?;
    }

    let categories = categories.into_iter().map(Condition::Category).collect::<Vec<_>>();
    let categories = (!categories.is_empty()).then_some(Condition::Any(categories));
    let mut checked = Checked { count: 0 };
    let condition = condition.map(|given| checked.condition("filter.condition", given, 1));
    let condition = match (categories, condition.transpose()?) {
        (Some(categories), Some(condition)) => Some(Condition::All(vec![categories, condition])),
        (categories, condition) => categories.or(condition),
    };
    Ok(Filter { condition, include_unavailable, ..Filter::default() })
}

/// A condition, which a request names `field`.
pub fn condition(field: &str, given: pb::Condition) -> Result<Condition, Violation> {
    Checked { count: 0 }.condition(field, given, 1)
}

/// A condition as the protocol has it.
pub fn condition_proto(condition: &Condition) -> pb::Condition {
    let all = |parts: &[Condition]| pb::Conditions {
        conditions: parts.iter().map(condition_proto).collect(),
    };
    let kind = match condition {
        Condition::Category(path) => Kind::Category(path.clone()),
        Condition::Brand(brand) => Kind::Brand(brand.clone()),
        Condition::Tag(tag) => Kind::Tag(tag.clone()),
        Condition::Attribute(name, value) => {
            Kind::Attribute(pb::Attribute { name: name.clone(), value: value.clone() })
        }
        Condition::Price(min, max) => {
            let max = Some(*max).filter(|max| *max < limits::MAX_PRICE);
            Kind::Price(pb::PriceRange { min: Some(*min), max })
        }
        Condition::All(parts) => Kind::AllOf(all(parts)),
        Condition::Any(parts) => Kind::AnyOf(all(parts)),
        Condition::Not(part) => Kind::NoneOf(match &**part {
            Condition::Any(parts) => all(parts),
            part => all(std::slice::from_ref(part)),
        }),
    };
    pb::Condition { kind: Some(kind) }
}

/// The conditions checked so far.
struct Checked {
    count: usize,
}

impl Checked {
    fn condition(
        &mut self,
        field: &str,
        given: pb::Condition,
        depth: usize,
    ) -> Result<Condition, Violation> {
        let max = limits::MAX_CONDITION_DEPTH;
        if depth > max {
            return Err(Violation::new(field, format!("must be at most {max} deep")));
        }

        self.count += 1;
        limits::count("filter.condition", self.count, 1, limits::MAX_CONDITIONS)?;
        let word = |name: &str, value: String| -> Result<String, Violation> {
            limits::id(&format!("{field}.{name}"), &value)?;
            Ok(value)
        };
        let empty = || Violation::new(field, "must have a condition, is empty");
        Ok(match given.kind.ok_or_else(empty)? {
            Kind::Category(path) => Condition::Category(word("category", path)?),
            Kind::Brand(brand) => Condition::Brand(word("brand", brand)?),
            Kind::Tag(tag) => Condition::Tag(word("tag", tag)?),
            Kind::Attribute(pb::Attribute { name, value }) => {
                let longest = limits::MAX_ID_BYTES;
                limits::text(&format!("{field}.attribute.value"), &value, longest)?;
                Condition::Attribute(word("attribute.name", name)?, value)
            }
            Kind::Price(range) => price(&format!("{field}.price"), range)?,
            Kind::AllOf(parts) => {
                Condition::All(self.parts(&format!("{field}.all_of"), parts, depth)?)
            }
            Kind::AnyOf(parts) => {
                Condition::Any(self.parts(&format!("{field}.any_of"), parts, depth)?)
            }
            Kind::NoneOf(parts) => {
                let parts = self.parts(&format!("{field}.none_of"), parts, depth)?;
                Condition::Not(Box::new(Condition::Any(parts)))
            }
        })
    }

    fn parts(
        &mut self,
        field: &str,
        given: pb::Conditions,
        depth: usize,
    ) -> Result<Vec<Condition>, Violation> {
        limits::count(field, given.conditions.len(), 1, limits::MAX_CONDITIONS)?;
        let parts = given.conditions.into_iter().enumerate();
        parts.map(|(i, part)| self.condition(&format!("{field}[{i}]"), part, depth + 1)).collect()
    }
}

fn price(field: &str, range: pb::PriceRange) -> Result<Condition, Violation> {
    if range.min.is_none() && range.max.is_none() {
        return Err(Violation::new(field, "must have min, max or both, has neither"));
    }
    let min = range.min.unwrap_or(0.0);
    let max = range.max.unwrap_or(limits::MAX_PRICE);
    limits::number(&format!("{field}.min"), min, 0.0, limits::MAX_PRICE)?;
    limits::number(&format!("{field}.max"), max, min, limits::MAX_PRICE)?;
    Ok(Condition::Price(min, max))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(kind: Kind) -> pb::Condition {
        pb::Condition { kind: Some(kind) }
    }

    fn refusal(condition: pb::Condition) -> String {
        let given = pb::Filter { condition: Some(condition), ..pb::Filter::default() };
        filter(Some(given)).unwrap_err().to_string()
    }

    #[test]
    fn refusals_name_the_place_and_the_limit() {
        assert_eq!(
            refusal(pb::Condition::default()),
            "filter.condition: must have a condition, is empty"
        );
        let group = |conditions| pb::Conditions { conditions };
        let within = leaf(Kind::AllOf(group(vec![leaf(Kind::Brand(String::new()))])));
        assert_eq!(
            refusal(within),
            "filter.condition.all_of[0].brand: must hold 1 to 256 bytes, is empty"
        );

        let range = pb::PriceRange { min: Some(3.0), max: Some(2.0) };
        assert!(refusal(leaf(Kind::Price(range))).starts_with("filter.condition.price.max: must"));
        assert!(refusal(leaf(Kind::Price(pb::PriceRange::default()))).ends_with("has neither"));
        let tag = || leaf(Kind::Tag("t".into()));
        let many = (0..100).map(|_| tag()).collect();
        assert_eq!(
            refusal(leaf(Kind::AnyOf(group(many)))),
            "filter.condition: must have 1 to 100 entries, has 101"
        );

        let deep = (0..8).fold(tag(), |part, _| leaf(Kind::NoneOf(group(vec![part]))));
        assert!(refusal(deep).ends_with("must be at most 8 deep"));
    }

    #[test]
    fn categories_hold_beside_the_condition() {
        let given = pb::Filter {
            categories: vec!["home".into()],
            condition: Some(leaf(Kind::Tag("new".into()))),
            ..pb::Filter::default()
        };
        let categories = Condition::Any(vec![Condition::Category("home".into())]);
        let both = Condition::All(vec![categories, Condition::Tag("new".into())]);
        assert_eq!(filter(Some(given)).unwrap().condition, Some(both));
        assert_eq!(filter(None).unwrap(), Filter::default());
    }
}
