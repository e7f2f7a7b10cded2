//! Counts the entries of a message before it is decoded. An empty entry takes two bytes on the
//! wire and hundreds in memory, so limits must hold before memory is taken.
//!
//! The walk follows the protocol's own descriptors, which the build script writes as [`MESSAGES`].
//! Every repeated field of a request has its limit in `LIMITS`.

use prost::bytes::Buf;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

use crate::access::Scope;
use crate::domain::{Violation, limits};
use crate::experiment::{Dimension, definition};
use crate::insight::{rfm, segment, tiers};
use crate::live::links;
use crate::recommend::placement;
use crate::rules::schedule::{self, Day};
use crate::rules::{rule, select};

/// The shape of a message on the wire.
#[derive(Debug)]
pub struct Shape {
    /// Its name within the package.
    pub name: &'static str,
    /// Its fields.
    pub fields: &'static [Field],
}

/// A field of a message.
#[derive(Debug)]
pub struct Field {
    /// Its number.
    pub number: u32,
    /// Its name.
    pub name: &'static str,
    /// Whether it is repeated; entries of maps are.
    pub repeated: bool,
    /// Whether it is a list of whole numbers, which may come in one piece.
    pub packed: bool,
    /// The index in [`MESSAGES`] of its message type; none for other types.
    pub message: Option<usize>,
}

include!(concat!(env!("OUT_DIR"), "/shape.rs"));

/// Minimum and maximum number of entries of repeated fields of requests: for each message, but for
/// conditions in the whole request, since they nest. The services check the minimum.
const LIMITS: [(&str, &str, usize, usize); 53] = [
    ("UpsertItemsRequest", "items", 1, limits::MAX_BATCH),
    ("google.protobuf.FieldMask", "paths", 1, limits::MAX_PATHS),
    ("SetAvailabilityRequest", "item_ids", 1, limits::MAX_BATCH),
    ("Item", "categories", 0, limits::MAX_CATEGORIES),
    ("Item", "tags", 0, limits::MAX_TAGS),
    ("Item", "attributes", 0, limits::MAX_TAGS),
    ("Item", "embeddings", 0, limits::MAX_EMBEDDINGS),
    ("Item", "offers", 0, limits::MAX_TAGS),
    ("Embedding", "values", 1, limits::MAX_DIMENSIONS),
    ("UpsertUsersRequest", "users", 1, limits::MAX_BATCH),
    ("User", "attributes", 0, limits::MAX_TAGS),
    ("WriteEventsRequest", "events", 1, limits::MAX_BATCH),
    ("StreamEventsRequest", "events", 1, limits::MAX_BATCH),
    ("Filter", "categories", 0, limits::MAX_CATEGORIES),
    ("Conditions", "conditions", 1, limits::MAX_CONDITIONS),
    ("RecommendRequest", "session_item_ids", 0, limits::MAX_SESSION_ITEMS),
    ("RecommendRequest", "exclude_item_ids", 0, limits::MAX_EXCLUDED),
    ("RecommendRequest", "attributes", 0, limits::MAX_TAGS),
    ("BoughtTogetherRequest", "item_ids", 1, limits::MAX_SESSION_ITEMS),
    ("BatchRecommendRequest", "user_ids", 1, limits::MAX_BATCH),
    ("RankRequest", "session_item_ids", 0, limits::MAX_SESSION_ITEMS),
    ("RankRequest", "item_ids", 1, limits::MAX_RANKED),
    ("CreateKeyRequest", "scopes", 1, Scope::ALL.len()),
    ("RecommendRequest", "page_item_ids", 0, limits::MAX_SESSION_ITEMS),
    ("RecommendPageRequest", "placements", 1, limits::MAX_PAGE_PLACEMENTS),
    ("RuleSet", "rules", 0, rule::MAX_RULES),
    ("ItemSelection", "item_ids", 0, select::MAX_ITEMS),
    ("RuleCondition", "placements", 0, schedule::MAX_VALUES),
    ("RuleCondition", "user_attributes", 0, limits::MAX_TAGS),
    ("RuleCondition", "page_categories", 0, schedule::MAX_VALUES),
    ("AttributeValues", "values", 1, schedule::MAX_VALUES),
    ("Schedule", "weekly", 0, schedule::MAX_VALUES),
    ("Schedule", "dates", 0, schedule::MAX_VALUES),
    ("WeeklyHours", "days", 0, Day::ALL.len()),
    ("PlacementSet", "placements", 0, placement::MAX_PLACEMENTS),
    ("Placement", "weights", 0, placement::MAX_WEIGHTS),
    ("RecommendRequest", "forced_variants", 0, limits::MAX_PAGE_PLACEMENTS),
    ("Experiment", "variants", 0, definition::MAX_VARIANTS),
    ("Experiment", "ramp", 0, definition::MAX_STEPS),
    ("InsightSettings", "rfm_segments", 0, rfm::MAX_SEGMENTS),
    ("InsightSettings", "tier_programs", 0, tiers::MAX_PROGRAMS),
    ("TierProgram", "levels", 1, tiers::MAX_LEVELS),
    ("InsightSettings", "segments", 0, segment::MAX_USER_SEGMENTS),
    ("UserConditions", "conditions", 1, limits::MAX_CONDITIONS),
    ("ExportAudienceRequest", "segments", 0, segment::MAX_USER_SEGMENTS),
    ("ExportAudienceRequest", "except_segments", 0, segment::MAX_USER_SEGMENTS),
    ("RecordContactsRequest", "user_ids", 1, limits::MAX_BATCH),
    ("LinkUsersRequest", "alias_ids", 1, links::MAX_ALIASES),
    ("UnlinkUsersRequest", "alias_ids", 1, links::MAX_ALIASES),
    ("RuleCondition", "segments", 0, schedule::MAX_VALUES),
    ("Placement", "for_segments", 0, placement::MAX_FOR_SEGMENTS),
    ("Experiment", "segments", 0, definition::MAX_SEGMENTS),
    ("GetMetricsRequest", "group_by", 0, Dimension::COUNT),
];
/// Maximum depth of nested messages: a condition takes two.
const MAX_DEEP: usize = 2 * limits::MAX_CONDITION_DEPTH + 8;

/// Checks that a message with this name has no more entries than the protocol allows. A message
/// that does not decode passes, for the decoder to refuse.
///
/// # Errors
/// The field and its limit.
pub fn check(name: &str, message: &[u8]) -> Result<(), Violation> {
    let search = |place| SearchState { conditions: 0 }.message(place, message, None, 0);
    place(name).map_or(Ok(()), search)
}

/// The index in [`MESSAGES`] of the message with this name.
pub(super) fn place(name: &str) -> Option<usize> {
    MESSAGES.binary_search_by(|shape| shape.name.cmp(name)).ok()
}

/// Minimum and maximum number of entries of a field.
pub(super) fn limit(shape: &Shape, field: &Field) -> Option<(usize, usize)> {
    limit_of(shape.name, field.name)
}

/// Whether any message has a field of this name, as the protocol or JSON writes it.
pub fn is_field(name: &str) -> bool {
    MESSAGES.iter().any(|shape| shape.fields.iter().any(|field| field.is_named(name)))
}

impl Field {
    /// Whether this is its name, as the protocol has it or as JSON does.
    pub fn is_named(&self, name: &str) -> bool {
        if self.name == name {
            return true;
        }
        // The name in JSON: without underscores, the letters after them in upper case.
        let mut of_json = name.chars();
        let mut upper = false;
        for letter in self.name.chars() {
            if letter == '_' {
                upper = true;
                continue;
            }
            let expected = if upper { letter.to_ascii_uppercase() } else { letter };
            upper = false;
            if of_json.next() != Some(expected) {
                return false;
            }
        }
        of_json.next().is_none()
    }
}

/// Minimum and maximum number of entries of a field, by the names of its message and itself.
pub fn limit_of(message: &str, field: &str) -> Option<(usize, usize)> {
    let mut all = LIMITS.iter();
    let of = all.find(|(of_message, name, ..)| *of_message == message && *name == field);
    of.map(|(_, _, min, max)| (*min, *max))
}

/// Whether any field within a message has a limit; otherwise it need not be walked.
fn is_limited(shape: &Shape, deep: usize) -> bool {
    shape.fields.iter().any(|field| {
        let within = |at: usize| deep < 4 && is_limited(&MESSAGES[at], deep + 1);
        limit(shape, field).is_some() || field.message.is_some_and(within)
    })
}

/// The position of a nested message: its field, and its index in a repeated one. Formatted only
/// where a message is refused.
pub(super) struct Place<'a> {
    pub(super) above: Option<&'a Place<'a>>,
    pub(super) field: &'a str,
    pub(super) at: Option<usize>,
}

impl Place<'_> {
    pub(super) fn path(&self) -> String {
        let above = self.above.map_or_else(String::new, |above| above.path() + ".");
        let at = self.at.map_or_else(String::new, |at| format!("[{at}]"));
        format!("{above}{}{at}", self.field)
    }
}

/// The message whose entries are counted in the whole request, or in the whole of a rule or a
/// placement.
pub(super) const CONDITIONS: &str = "Conditions";

/// Whether the conditions of a message are counted for itself.
pub(super) fn counts_conditions(message: &str) -> bool {
    ["Rule", "Placement"].contains(&message)
}

/// Checks the number of conditions of a request so far.
pub(super) fn count_conditions(count: usize) -> Result<(), Violation> {
    limits::count("filter.condition", count, 1, limits::MAX_CONDITIONS)
}

struct SearchState {
    /// Conditions of the request so far.
    conditions: usize,
}

impl SearchState {
    fn message(
        &mut self,
        place: usize,
        mut rest: &[u8],
        above: Option<&Place<'_>>,
        deep: usize,
    ) -> Result<(), Violation> {
        let shape = &MESSAGES[place];
        if counts_conditions(shape.name) {
            self.conditions = 0;
        }
        if deep > MAX_DEEP {
            let message = format!("must be at most {MAX_DEEP} messages deep, is deeper");
            return Err(Violation::new(above.map_or_else(String::new, Place::path), message));
        }

        // Each field is looked up once.
        let known = |field: &'static Field| Counted {
            field,
            limit: limit(shape, field),
            inner: field.message.filter(|&inner| is_limited(&MESSAGES[inner], 0)),
            count: 0,
        };

        let mut fields: Vec<Counted> = shape.fields.iter().map(known).collect();
        while rest.has_remaining() {
            // A message that does not decode is for the decoder to refuse.
            let Ok((number, wire_type)) = decode_key(&mut rest) else { return Ok(()) };
            let counted = fields.iter_mut().find(|counted| counted.field.number == number);
            let (Some(counted), WireType::LengthDelimited) = (counted, wire_type) else {
                // Numbers of a list that come one by one.
                if let Some(counted) = fields.iter_mut().find(|c| c.field.number == number) {
                    counted.count += 1;
                    counted.check(&Place { above, field: counted.field.name, at: None })?;
                }
                match skip_field(wire_type, number, &mut rest, DecodeContext::default()) {
                    Ok(()) => continue,
                    Err(_) => return Ok(()),
                }
            };

            let length = decode_varint(&mut rest).ok().and_then(|n| usize::try_from(n).ok());
            let Some((value, after)) = length.and_then(|n| rest.split_at_checked(n)) else {
                return Ok(());
            };
            rest = after;

            let at = counted.field.repeated.then_some(counted.count);
            counted.count += if counted.field.packed { numbers(value) } else { 1 };
            let here = Place { above, field: counted.field.name, at };
            counted.check(&here)?;

            if shape.name == CONDITIONS {
                self.conditions += 1;
                count_conditions(self.conditions)?;
            }

            if let Some(inner) = counted.inner {
                self.message(inner, value, Some(&here), deep + 1)?;
            }
        }
        Ok(())
    }
}

/// The numbers in a packed list: the bytes that end one.
fn numbers(packed: &[u8]) -> usize {
    packed.iter().filter(|byte| **byte < 0x80).count()
}

/// Refuses the first entry of a field beyond its limit; the total does not matter.
pub(super) fn check_count(
    limit: Option<(usize, usize)>,
    count: usize,
    here: &Place<'_>,
) -> Result<(), Violation> {
    let Some((min, max)) = limit.filter(|(_, max)| count > *max) else { return Ok(()) };
    let message = format!("must have {min} to {max} entries, has more");
    Err(Violation::new(Place { at: None, ..*here }.path(), message))
}

/// A field and the number of its entries so far.
struct Counted {
    field: &'static Field,
    limit: Option<(usize, usize)>,
    /// Its message type, if that has limited fields.
    inner: Option<usize>,
    count: usize,
}

impl Counted {
    /// Refuses an entry beyond the limit, and a second one of a field that has one.
    fn check(&self, here: &Place<'_>) -> Result<(), Violation> {
        check_count(self.limit, self.count, here)?;

        if self.field.message.is_some() && !self.field.repeated && self.count > 1 {
            // The wire format would merge the two, list onto list.
            let whole = Place { at: None, ..*here };
            return Err(Violation::new(whole.path(), "must be given once, is given again"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use prost::{Message, Name};

    use super::*;
    use crate::api::wire::pb;

    fn refused<M: Message + Name>(message: &M) -> Option<String> {
        check(M::NAME, &message.encode_to_vec()).err().map(|violation| violation.to_string())
    }

    #[test]
    fn every_list_of_a_request_has_a_limit() {
        let mut open: Vec<usize> =
            (0..MESSAGES.len()).filter(|&at| MESSAGES[at].name.ends_with("Request")).collect();
        assert!(open.len() > 20, "{open:?}");

        let mut seen = Vec::new();
        while let Some(at) = open.pop() {
            if seen.contains(&at) {
                continue;
            }
            seen.push(at);
            for field in MESSAGES[at].fields {
                let limited = limit(&MESSAGES[at], field).is_some();
                assert_eq!(field.repeated, limited, "{}.{}", MESSAGES[at].name, field.name);
                open.extend(field.message);
            }
        }

        for (message, field, ..) in &LIMITS {
            let known = MESSAGES.iter().find(|shape| shape.name == *message).unwrap();
            assert!(known.fields.iter().any(|f| f.name == *field), "{message}.{field}");
        }
    }

    #[test]
    fn what_is_too_many_is_counted_and_named() {
        let events = vec![pb::Event::default(); 20_000];
        assert_eq!(
            refused(&pb::WriteEventsRequest { events }).unwrap(),
            "events: must have 1 to 10000 entries, has more"
        );
        let item = pb::Item { tags: vec![String::new(); 65], ..Default::default() };
        let items = vec![pb::Item::default(), item];
        assert_eq!(
            refused(&pb::UpsertItemsRequest { items, update_mask: None }).unwrap(),
            "items[1].tags: must have 0 to 64 entries, has more"
        );

        let item_ids = vec![String::new(); 1_001];
        let rank = pb::RankRequest { item_ids, ..Default::default() };
        assert!(refused(&rank).unwrap().starts_with("item_ids: must have 1 to 1000"));

        let condition = pb::Condition {
            kind: Some(pb::condition::Kind::AllOf(pb::Conditions {
                conditions: vec![pb::Condition::default(); 60],
            })),
        };

        let all = pb::Conditions { conditions: vec![condition.clone(), condition] };
        let kind = Some(pb::condition::Kind::AnyOf(all));
        let filter = pb::Filter { condition: Some(pb::Condition { kind }), ..Default::default() };
        let request = pb::PopularRequest { filter: Some(filter), ..Default::default() };
        assert!(refused(&request).unwrap().contains("must have 1 to 100 entries, has 101"));

        let mut deep = pb::Condition::default();
        for _ in 0..30 {
            let conditions = vec![deep];
            deep = pb::Condition {
                kind: Some(pb::condition::Kind::AllOf(pb::Conditions { conditions })),
            };
        }

        let filter = pb::Filter { condition: Some(deep), ..Default::default() };
        let request = pb::PopularRequest { filter: Some(filter), ..Default::default() };
        assert!(refused(&request).unwrap().contains("messages deep"));
    }

    #[test]
    fn what_the_limits_allow_passes() {
        let events = vec![pb::Event { user_id: "u".into(), ..Default::default() }; 10_000];
        assert_eq!(refused(&pb::WriteEventsRequest { events }), None);
        assert_eq!(refused(&pb::TrainRequest {}), None);
        assert_eq!(check("WriteEventsRequest", &[0x0a, 0xff]), Ok(()), "for the decoder to refuse");
    }

    #[test]
    fn a_message_that_is_merged_is_refused() {
        // The field filter twice: field 3 of PopularRequest.
        let filter =
            pb::PopularRequest { filter: Some(pb::Filter::default()), ..Default::default() };
        let twice = [filter.encode_to_vec(), filter.encode_to_vec()].concat();
        let said = check("PopularRequest", &twice).unwrap_err().to_string();
        assert_eq!(said, "filter: must be given once, is given again");
    }
}
