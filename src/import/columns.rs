//! The canonical columns, and the mapping of a file's columns to them.

use std::str::FromStr;

/// A canonical column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    /// The user; required for events and users.
    UserId,
    /// The item; required for events and items.
    ItemId,
    /// The time; required for events.
    Timestamp,
    /// The kind of the event; without the column every row is a purchase, or a refund where its
    /// quantity is negative.
    Event,
    /// Number of items.
    Quantity,
    /// Price of one.
    Price,
    /// Basket, order or invoice.
    BasketId,
    /// Visit.
    SessionId,
    /// The client's id of the event.
    EventId,
    /// The rating given.
    Rating,
    /// Where it happened.
    Channel,
    /// The answer that led to the event.
    RecommendationId,
    /// The item's title.
    Title,
    /// The item's category, parts separated by "/", several by "|".
    Category,
    /// The item's brand.
    Brand,
    /// Whether the item is available: true, false, 1, 0, yes, no.
    Available,
    /// The item's tags, separated by "|".
    Tags,
    /// The start of the item's validity.
    ValidFrom,
    /// The end of the item's validity.
    ValidUntil,
    /// Whether the user consents: true, false, 1, 0, yes, no.
    Consent,
    /// The item's description.
    Description,
    /// The group of the item's variants.
    GroupId,
    /// What the shop earns with one of the item.
    Margin,
    /// How long a page was looked at, in milliseconds.
    DwellMs,
    /// How far an event that hides reaches: item, group, category.
    HideScope,
    /// Why the user hides.
    HideReason,
    /// The text of a review.
    Review,
    /// What a review says, -1 to 1.
    Sentiment,
}

/// Number of canonical columns.
const COLUMNS: usize = Column::ALL.len();
/// Prefix of the names of attribute columns: `attributes.colour`.
const ATTRIBUTES: &str = "attributes.";

impl Column {
    /// Every column, in order.
    pub const ALL: [Column; 28] = [
        Column::UserId,
        Column::ItemId,
        Column::Timestamp,
        Column::Event,
        Column::Quantity,
        Column::Price,
        Column::BasketId,
        Column::SessionId,
        Column::EventId,
        Column::Rating,
        Column::Channel,
        Column::RecommendationId,
        Column::Title,
        Column::Category,
        Column::Brand,
        Column::Available,
        Column::Tags,
        Column::ValidFrom,
        Column::ValidUntil,
        Column::Consent,
        Column::Description,
        Column::GroupId,
        Column::Margin,
        Column::DwellMs,
        Column::HideScope,
        Column::HideReason,
        Column::Review,
        Column::Sentiment,
    ];

    /// The columns that hold times.
    pub const TIMES: [Column; 3] = [Column::Timestamp, Column::ValidFrom, Column::ValidUntil];

    /// Its name in files and in `--map`.
    pub fn name(self) -> &'static str {
        match self {
            Column::UserId => "user_id",
            Column::ItemId => "item_id",
            Column::Timestamp => "timestamp",
            Column::Event => "event",
            Column::Quantity => "quantity",
            Column::Price => "price",
            Column::BasketId => "basket_id",
            Column::SessionId => "session_id",
            Column::EventId => "event_id",
            Column::Rating => "rating",
            Column::Channel => "channel",
            Column::RecommendationId => "recommendation_id",
            Column::Title => "title",
            Column::Category => "category",
            Column::Brand => "brand",
            Column::Available => "available",
            Column::Tags => "tags",
            Column::ValidFrom => "valid_from",
            Column::ValidUntil => "valid_until",
            Column::Consent => "consent",
            Column::Description => "description",
            Column::GroupId => "group_id",
            Column::Margin => "margin",
            Column::DwellMs => "dwell_ms",
            Column::HideScope => "hide_scope",
            Column::HideReason => "hide_reason",
            Column::Review => "review",
            Column::Sentiment => "sentiment",
        }
    }

    /// The separator between the parts of a joined column.
    pub fn joined_by(self) -> char {
        if Self::TIMES.contains(&self) { ' ' } else { '/' }
    }

    /// Whether a cell may hold several values, as a JSON list does.
    pub fn holds_several(self) -> bool {
        matches!(self, Column::Category | Column::Tags)
    }
}

/// The mapping of a file's columns. By default every column has its canonical name;
/// `user_id=CustomerID` renames one, `category=department+aisle` joins several with "/", and
/// `attributes.colour=Color` names an attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnMap {
    names: [Vec<String>; COLUMNS],
    attributes: Vec<(String, Vec<String>)>,
    /// Columns that were mapped explicitly: a file must have them.
    by_hand: Vec<Column>,
}

/// The positions of the canonical columns in a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Places {
    /// For each canonical column, the positions of its parts.
    pub columns: [Vec<usize>; COLUMNS],
    /// For each attribute, its name and the positions of its parts.
    pub attributes: Vec<(String, Vec<usize>)>,
}

impl Places {
    /// Whether the column at this position is read.
    pub fn reads(&self, place: usize) -> bool {
        self.all().any(|places| places.contains(&place))
    }

    /// The columns of a header that are not read.
    pub fn unread<'h>(&self, header: &'h [String]) -> Vec<&'h str> {
        let unread = header.iter().enumerate().filter(|(place, _)| !self.reads(*place));
        unread.map(|(_, name)| name.trim()).filter(|name| !name.is_empty()).collect()
    }

    /// Shifts every position by `by`; drops unmapped ones.
    pub fn moved(&self, by: impl Fn(usize) -> Option<usize>) -> Self {
        let moved = |places: &Vec<usize>| places.iter().filter_map(|&place| by(place)).collect();
        let attributes = self.attributes.iter();
        Self {
            columns: self.columns.each_ref().map(moved),
            attributes: attributes.map(|(name, places)| (name.clone(), moved(places))).collect(),
        }
    }

    fn all(&self) -> impl Iterator<Item = &Vec<usize>> {
        self.columns.iter().chain(self.attributes.iter().map(|(_, places)| places))
    }
}

impl Default for ColumnMap {
    fn default() -> Self {
        let names = Column::ALL.map(|column| vec![column.name().to_owned()]);
        Self { names, attributes: Vec::new(), by_hand: Vec::new() }
    }
}

impl FromStr for ColumnMap {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut map = ColumnMap::default();
        for pair in text.split(',').map(str::trim).filter(|p| !p.is_empty()) {
            let known = || format!("{}, attributes.NAME", Column::ALL.map(Column::name).join(", "));
            let (name, columns) = pair.split_once('=').ok_or_else(|| {
                format!("{pair:?} is not of the form column=NAME; columns are {}", known())
            })?;
            let name = name.trim();
            if let Some(attribute) = name.strip_prefix(ATTRIBUTES)
                && !attribute.is_empty()
            {
                map.attributes.push((attribute.to_owned(), parts(columns)));
                continue;
            }

            let column = Column::ALL.into_iter().find(|c| c.name() == name);
            let column =
                column.ok_or_else(|| format!("no column {name:?}; columns are {}", known()))?;
            map.set(column, columns);
            map.by_hand.push(column);
        }
        Ok(map)
    }
}

/// The names of a joined column's parts.
fn parts(names: &str) -> Vec<String> {
    names.split('+').map(|name| name.trim().to_owned()).collect()
}

impl ColumnMap {
    /// Maps a column to the named ones, joined by `+`.
    pub fn set(&mut self, column: Column, names: &str) {
        self.names[column as usize] = parts(names);
    }

    /// The columns that were mapped explicitly.
    pub fn by_hand(&self) -> &[Column] {
        &self.by_hand
    }

    /// The positions in a file with this header; a column that lacks a part has no position.
    ///
    /// # Errors
    /// Where one of `required`, or an explicitly mapped column, is missing, or one that is read
    /// occurs twice.
    pub fn of_file<S: AsRef<str>>(
        &self,
        header: &[S],
        required: &[Column],
    ) -> Result<Places, String> {
        let places = self.of_row(header, &[required, &self.by_hand].concat())?;
        let header: Vec<&str> = header.iter().map(|name| name.as_ref().trim()).collect();
        for (name, columns) in &self.attributes {
            let missing = columns.iter().find(|column| !header.contains(&column.as_str()));
            if let Some(column) = missing {
                let there = header.join(", ");
                return Err(format!(
                    "no column {column:?} for {ATTRIBUTES}{name}; the file has: {there}"
                ));
            }
        }

        let twice = (0..header.len()).find(|&at| {
            places.reads(at) && header.iter().filter(|name| **name == header[at]).count() > 1
        });

        match twice {
            Some(at) => Err(format!("the column {:?} occurs twice in the file", header[at])),
            None => Ok(places),
        }
    }

    /// The positions in a row with columns of its own.
    ///
    /// # Errors
    /// Where one of `required` is missing.
    pub fn of_row<S: AsRef<str>>(
        &self,
        header: &[S],
        required: &[Column],
    ) -> Result<Places, String> {
        let header: Vec<&str> = header.iter().map(|name| name.as_ref().trim()).collect();
        let place = |name: &String| header.iter().position(|h| h == name);
        let places_of = |names: &Vec<String>| -> Vec<usize> {
            let parts: Option<Vec<usize>> = names.iter().map(place).collect();
            parts.unwrap_or_default()
        };

        let columns = self.names.each_ref().map(places_of);
        for &column in required {
            if columns[column as usize].is_empty() {
                return Err(format!(
                    "no column {:?} for {}; the file has: {}. Name it with --map {}=COLUMN",
                    self.names[column as usize].join("+"),
                    column.name(),
                    header.join(", "),
                    column.name()
                ));
            }
        }

        let mapped = self.attributes.iter().map(|(name, parts)| (name.clone(), places_of(parts)));
        let mut attributes: Vec<(String, Vec<usize>)> =
            mapped.filter(|(_, places)| !places.is_empty()).collect();
        for (place, column) in header.iter().enumerate() {
            let Some(name) = column.strip_prefix(ATTRIBUTES).filter(|name| !name.is_empty()) else {
                continue;
            };
            if self.attributes.iter().all(|(known, _)| known != name) {
                attributes.push((name.to_owned(), vec![place]));
            }
        }
        Ok(Places { columns, attributes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_rename_and_join() {
        let map: ColumnMap = "user_id=CustomerID, category=dept+aisle".parse().unwrap();
        let header = ["CustomerID ", "item_id", "dept", "aisle", "timestamp"];
        let places = map.of_file(&header, &[Column::UserId, Column::Timestamp]).unwrap();
        assert_eq!(places.columns[Column::UserId as usize], [0]);
        assert_eq!(places.columns[Column::Category as usize], [2, 3]);
        assert!(places.columns[Column::Brand as usize].is_empty());
        assert!(places.reads(3) && !places.reads(5));
    }

    #[test]
    fn attributes_are_named_by_the_header_or_the_map() {
        let map: ColumnMap = "attributes.colour=Color".parse().unwrap();
        let header = ["item_id", "Color", "attributes.size", "attributes.colour", "Other"];
        let places = map.of_file(&header, &[Column::ItemId]).unwrap();
        let expected = [("colour".to_owned(), vec![1]), ("size".to_owned(), vec![2])];
        assert_eq!(places.attributes, expected);
    }

    #[test]
    fn a_missing_column_is_named_with_what_there_is() {
        let error = ColumnMap::default().of_file(&["a", "b"], &[Column::ItemId]).unwrap_err();
        assert!(error.contains("no column \"item_id\"") && error.contains("a, b"), "{error}");
        // An explicitly mapped column that is missing is a typing error.
        let map: ColumnMap = "event=EventType".parse().unwrap();
        let error = map.of_file(&["item_id", "event_type"], &[Column::ItemId]).unwrap_err();
        assert!(error.contains("no column \"EventType\" for event"), "{error}");
        let map: ColumnMap = "attributes.x=Nope".parse().unwrap();
        assert!(map.of_file(&["item_id"], &[]).unwrap_err().contains("\"Nope\""));
        let twice = ColumnMap::default().of_file(&["item_id", "event", "event"], &[]);
        assert!(twice.unwrap_err().contains("\"event\" occurs twice"));
        assert!(ColumnMap::default().of_file(&["item_id", "x", "x"], &[]).is_ok());
        assert!("colour=x".parse::<ColumnMap>().unwrap_err().contains("no column \"colour\""));
        assert!("user_id".parse::<ColumnMap>().unwrap_err().contains("column=NAME"));
    }
}
