//! Saved segments: named conditions on what the store knows of a user. Membership is not stored: it is what
//! holds when it is asked for.

use std::cell::RefCell;

use serde::{Deserialize, Serialize};

use super::rfm::RfmSegment;
use super::tiers::TierProgram;
use crate::domain::quote::quoted;
use crate::domain::{Violation, limits};

/// Maximum number of saved segments of a store.
pub const MAX_USER_SEGMENTS: usize = 50;
/// Maximum number of values of an attribute.
const MAX_VALUES: usize = 64;

/// A saved segment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserSegment {
    /// Its name, which no other segment has.
    pub name: String,
    /// Who is in it.
    pub condition: UserCondition,
}

/// A condition on a user.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UserCondition {
    /// The profile has an attribute of this name with one of these values.
    Attribute(String, Vec<String>),
    /// The user's scores put them in this segment of `rfm_segments`.
    RfmSegment(String),
    /// The user has this level of this program, or a higher one.
    Tier(String, String),
    /// At least this share of the user's events with a category is in this one, or below it.
    Category(String, f64),
    /// At least this share of the user's events with a brand is of this one.
    Brand(String, f64),
    /// The user came by this channel.
    Channel(String),
    /// A figure of the user is within these bounds, both inclusive.
    Figure(Figure, f64, f64),
    /// The user is in another saved segment, which stands before this one.
    Segment(String),
    /// All of these hold.
    All(Vec<UserCondition>),
    /// Any of these holds.
    Any(Vec<UserCondition>),
    /// This does not hold.
    Not(Box<UserCondition>),
}

/// A number that the store knows of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Figure {
    /// Number of orders; 0 before the first.
    Orders,
    /// Spend, refunds taken back; 0 before the first order.
    Spend,
    /// Spend by order.
    MeanSpend,
    /// Days since the first order.
    DaysSinceFirstOrder,
    /// Days since the last order.
    DaysSinceLastOrder,
    /// Days since the last event.
    DaysSinceLastEvent,
    /// Days until the next order is expected.
    DaysUntilNextOrder,
    /// The risk that the user buys nothing in 90 days: 0 to 1.
    ChurnRisk,
    /// Expected number of days with a purchase, of the next 90.
    ExpectedPurchases,
    /// Expected spend of the next 90 days.
    ExpectedSpend,
}

/// What conditions ask of a user. What is not known of them holds no condition.
pub trait Traits {
    /// Whether the profile has an attribute with one of these values.
    fn has_attribute(&self, name: &str, values: &[String]) -> bool;
    /// Whether the scores put the user in a segment of `rfm_segments`.
    fn is_in_rfm_segment(&self, name: &str) -> bool;
    /// Whether the user has a level of a program, or a higher one.
    fn reaches(&self, program: &str, level: &str) -> bool;
    /// The share of the user's events with a category that is in this one: 0 to 1.
    fn share_of_category(&self, name: &str) -> f64;
    /// The share of the user's events with a brand that is of this one: 0 to 1.
    fn share_of_brand(&self, name: &str) -> f64;
    /// Whether the user came by a channel.
    fn came_by(&self, channel: &str) -> bool;
    /// A figure, where it is known.
    fn figure(&self, figure: Figure) -> Option<f64>;
}

/// In which segments a user is. Each segment is looked at once, when it is asked for.
pub struct Membership<'a, T> {
    segments: &'a [UserSegment],
    traits: &'a T,
    known: RefCell<Vec<Option<bool>>>,
}

impl<'a, T: Traits> Membership<'a, T> {
    /// The membership of a user.
    pub fn new(segments: &'a [UserSegment], traits: &'a T) -> Self {
        Self { segments, traits, known: RefCell::new(vec![None; segments.len()]) }
    }

    /// Whether the user is in a segment; false for one that is not there.
    pub fn is_in(&self, name: &str) -> bool {
        let Some(at) = self.segments.iter().position(|of| of.name == name) else { return false };
        if let Some(known) = self.known.borrow()[at] {
            return known;
        }
        let holds = self.holds(&self.segments[at].condition);
        self.known.borrow_mut()[at] = Some(holds);
        holds
    }

    /// The names of all segments that the user is in, in their order.
    pub fn names(&self) -> Vec<String> {
        let all = self.segments.iter().map(|segment| &segment.name);
        all.filter(|name| self.is_in(name)).cloned().collect()
    }

    fn holds(&self, condition: &UserCondition) -> bool {
        let of = self.traits;
        match condition {
            UserCondition::Attribute(name, values) => of.has_attribute(name, values),
            UserCondition::RfmSegment(name) => of.is_in_rfm_segment(name),
            UserCondition::Tier(program, level) => of.reaches(program, level),
            UserCondition::Category(name, least) => of.share_of_category(name) >= *least,
            UserCondition::Brand(name, least) => of.share_of_brand(name) >= *least,
            UserCondition::Channel(name) => of.came_by(name),
            UserCondition::Figure(figure, low, high) => {
                of.figure(*figure).is_some_and(|figure| (*low..=*high).contains(&figure))
            }
            UserCondition::Segment(name) => self.is_in(name),
            UserCondition::All(parts) => parts.iter().all(|part| self.holds(part)),
            UserCondition::Any(parts) => parts.iter().any(|part| self.holds(part)),
            UserCondition::Not(part) => !self.holds(part),
        }
    }
}

/// Checks the saved segments of a store with these segments by scores and programs of tiers.
///
/// # Errors
/// The field that breaks its limit, or names what is not there.
pub fn check(
    segments: &[UserSegment],
    rfm: &[RfmSegment],
    programs: &[TierProgram],
) -> Result<(), Violation> {
    limits::count("segments", segments.len(), 0, MAX_USER_SEGMENTS)?;
    for (at, segment) in segments.iter().enumerate() {
        let within = |violation: Violation| violation.within(&format!("segments[{at}]"));
        limits::name("name", &segment.name).map_err(within)?;
        let before = &segments[..at];
        if before.iter().any(|other| other.name == segment.name) {
            let message = format!("must name no segment twice, names {}", quoted(&segment.name));
            return Err(within(Violation::new("name", message)));
        }
        let mut checked = Checked { rfm, programs, before, own: &segment.name, count: 0 };
        checked.condition("condition", &segment.condition, 1).map_err(within)?;
    }
    Ok(())
}

/// The check of one segment.
struct Checked<'a> {
    rfm: &'a [RfmSegment],
    programs: &'a [TierProgram],
    before: &'a [UserSegment],
    own: &'a str,
    count: usize,
}

impl Checked<'_> {
    fn condition(
        &mut self,
        field: &str,
        given: &UserCondition,
        depth: usize,
    ) -> Result<(), Violation> {
        let max = limits::MAX_CONDITION_DEPTH;
        if depth > max {
            return Err(Violation::new(field, format!("must be at most {max} deep")));
        }
        self.count += 1;
        limits::count("condition", self.count, 1, limits::MAX_CONDITIONS)?;

        match given {
            UserCondition::Attribute(name, values) => {
                limits::id(&format!("{field}.attribute.name"), name)?;
                let field = format!("{field}.attribute.values");
                limits::count(&field, values.len(), 1, MAX_VALUES)?;
                let mut values = values.iter().enumerate();
                values.try_for_each(|(at, value)| limits::id(&format!("{field}[{at}]"), value))
            }
            UserCondition::RfmSegment(name) => {
                let known = self.rfm.iter().map(|segment| segment.name.as_str());
                one_of(&format!("{field}.rfm_segment"), "a segment by scores", name, known)
            }
            UserCondition::Tier(program, level) => {
                let names = self.programs.iter().map(|program| program.name.as_str());
                one_of(&format!("{field}.tier.program"), "a program of tiers", program, names)?;
                let of = self.programs.iter().filter(|known| known.name == *program);
                let levels = of.flat_map(|known| &known.levels).map(|level| level.name.as_str());
                one_of(&format!("{field}.tier.level"), "a level of the program", level, levels)
            }
            UserCondition::Category(name, least) => {
                share(&format!("{field}.category"), name, *least)
            }
            UserCondition::Brand(name, least) => share(&format!("{field}.brand"), name, *least),
            UserCondition::Channel(name) => limits::id(&format!("{field}.channel"), name),
            UserCondition::Figure(_, low, high) => range(&format!("{field}.figure"), *low, *high),
            UserCondition::Segment(name) => self.reference(&format!("{field}.segment"), name),
            UserCondition::All(parts) => self.parts(&format!("{field}.all_of"), parts, depth),
            UserCondition::Any(parts) => self.parts(&format!("{field}.any_of"), parts, depth),
            UserCondition::Not(part) => {
                let field = format!("{field}.none_of");
                match &**part {
                    UserCondition::Any(parts) => self.parts(&field, parts, depth),
                    part => self.condition(&field, part, depth + 1),
                }
            }
        }
    }

    fn parts(
        &mut self,
        field: &str,
        parts: &[UserCondition],
        depth: usize,
    ) -> Result<(), Violation> {
        limits::count(field, parts.len(), 1, limits::MAX_CONDITIONS)?;
        let mut parts = parts.iter().enumerate();
        parts.try_for_each(|(at, part)| self.condition(&format!("{field}[{at}]"), part, depth + 1))
    }

    /// A segment names only those before it, so that none refers to itself by way of others.
    fn reference(&self, field: &str, name: &str) -> Result<(), Violation> {
        if name == self.own {
            return Err(Violation::new(field, format!("refers to itself, {}", quoted(name))));
        }
        let before = self.before.iter().map(|segment| segment.name.as_str());
        one_of(field, "a saved segment that stands before this one", name, before)
    }
}

/// Checks that `name` is one of `known`.
///
/// # Errors
/// A violation of `field` that says what there is.
pub(super) fn one_of<'a>(
    field: &str,
    what: &str,
    name: &str,
    known: impl Iterator<Item = &'a str>,
) -> Result<(), Violation> {
    let known: Vec<&str> = known.collect();
    if known.contains(&name) {
        return Ok(());
    }
    let known = if known.is_empty() { "there is none".to_owned() } else { known.join(", ") };
    Err(Violation::new(field, format!("must be {what} ({known}), was {}", quoted(name))))
}

fn share(field: &str, name: &str, least: f64) -> Result<(), Violation> {
    limits::id(&format!("{field}.name"), name)?;
    limits::number(&format!("{field}.min_share"), least, 0.001, 1.0)
}

fn range(field: &str, low: f64, high: f64) -> Result<(), Violation> {
    let far = limits::MAX_PRICE;
    limits::number(&format!("{field}.min"), low, -far, far)?;
    limits::number(&format!("{field}.max"), high, -far, far)?;
    if low > high {
        let message = format!("must not be less than min, {low}, was {high}");
        return Err(Violation::new(format!("{field}.max"), message));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::insight::rfm::usual_segments;
    use crate::insight::tiers::{Level, Measure, TierProgram};

    /// A user of Sweden with three orders.
    struct Anna;

    impl Traits for Anna {
        fn has_attribute(&self, name: &str, values: &[String]) -> bool {
            name == "country" && values.iter().any(|value| value == "SE")
        }

        fn is_in_rfm_segment(&self, name: &str) -> bool {
            name == "loyal"
        }

        fn reaches(&self, _: &str, level: &str) -> bool {
            level == "silver"
        }

        fn share_of_category(&self, name: &str) -> f64 {
            if name == "tea" { 0.6 } else { 0.0 }
        }

        fn share_of_brand(&self, _: &str) -> f64 {
            0.0
        }

        fn came_by(&self, channel: &str) -> bool {
            channel == "app"
        }

        fn figure(&self, figure: Figure) -> Option<f64> {
            (figure == Figure::Orders).then_some(3.0)
        }
    }

    fn segment(name: &str, condition: UserCondition) -> UserSegment {
        UserSegment { name: name.into(), condition }
    }

    fn is_anna(condition: UserCondition) -> bool {
        let segments = [segment("one", condition)];
        Membership::new(&segments, &Anna).is_in("one")
    }

    #[test]
    fn conditions_hold_as_they_say_and_what_is_not_known_holds_none() {
        use UserCondition as C;
        assert!(is_anna(C::Attribute("country".into(), vec!["NO".into(), "SE".into()])));
        assert!(is_anna(C::RfmSegment("loyal".into())) && is_anna(C::Channel("app".into())));
        assert!(is_anna(C::Tier("club".into(), "silver".into())));
        assert!(!is_anna(C::Tier("club".into(), "gold".into())));
        assert!(is_anna(C::Category("tea".into(), 0.6)));
        assert!(!is_anna(C::Category("tea".into(), 0.7)) && !is_anna(C::Brand("x".into(), 0.1)));
        assert!(is_anna(C::Figure(Figure::Orders, 3.0, 9.0)));
        assert!(!is_anna(C::Figure(Figure::Orders, 4.0, 9.0)));
        assert!(!is_anna(C::Figure(Figure::ChurnRisk, 0.0, 1.0)));
        let orders = || C::Figure(Figure::Orders, 3.0, 3.0);
        let not = |part: C| C::Not(Box::new(part));
        assert!(is_anna(C::All(vec![orders(), not(C::RfmSegment("new".into()))])));
        assert!(is_anna(C::Any(vec![not(orders()), orders()])) && !is_anna(not(orders())));

        let segments = [
            segment("buyers", orders()),
            segment("others", not(C::Segment("buyers".into()))),
            segment("both", C::Any(vec![C::Segment("others".into()), C::Segment("buyers".into())])),
        ];
        assert_eq!(Membership::new(&segments, &Anna).names(), ["buyers", "both"]);
        assert!(!Membership::new(&segments, &Anna).is_in("unknown"));
    }

    #[test]
    fn what_refers_to_itself_or_to_nothing_is_refused_by_name() {
        use UserCondition as C;
        let level = Level { name: "silver".into(), at_least: 5.0 };
        let program = TierProgram {
            name: "club".into(),
            measure: Measure::Orders,
            window_days: None,
            keep: 1.0,
            levels: vec![level],
        };
        let refused = |condition: C| {
            let segments =
                vec![segment("first", C::Channel("app".into())), segment("own", condition)];
            let programs = [program.clone()];
            check(&segments, &usual_segments(), &programs)
                .map_or_else(|why| why.to_string(), |()| "taken".into())
        };

        assert_eq!(refused(C::Segment("first".into())), "taken");
        assert_eq!(
            refused(C::All(vec![C::Segment("own".into())])),
            "segments[1].condition.all_of[0].segment: refers to itself, \"own\""
        );
        let later = refused(C::Segment("later".into()));
        assert!(later.contains("must be a saved segment that stands before"), "{later}");
        assert_eq!(refused(C::Tier("club".into(), "silver".into())), "taken");
        let gold = refused(C::Tier("club".into(), "gold".into()));
        assert!(gold.ends_with("must be a level of the program (silver), was \"gold\""), "{gold}");
        assert_eq!(refused(C::RfmSegment("champions".into())), "taken");
        assert!(refused(C::RfmSegment("heroes".into())).contains("rfm_segment: must be a segment"));
        let ends = refused(C::Figure(Figure::Spend, 5.0, 1.0));
        assert!(ends.contains("figure.max: must not be less than min, 5, was 1"), "{ends}");
        assert!(refused(C::Category("tea".into(), 0.0)).contains("min_share: must be 0.001 to 1"));
        assert!(refused(C::Any(Vec::new())).contains("any_of"));
        let deep = (0..9).fold(C::Channel("app".into()), |inner, _| C::Not(Box::new(inner)));
        assert!(refused(deep).contains("must be at most 8 deep"));
    }
}
