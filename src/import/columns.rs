//! The canonical columns, and how a file's columns are mapped to them.

use std::str::FromStr;

/// What an import knows to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    /// Who; required for events.
    UserId,
    /// With which item; required.
    ItemId,
    /// When; required for events.
    Timestamp,
    /// What was done; without the column every row is a purchase.
    Event,
    /// How many.
    Quantity,
    /// Price of one.
    Price,
    /// Basket, order or invoice.
    BasketId,
    /// The visit.
    SessionId,
    /// The event's own id.
    EventId,
    /// The rating given.
    Rating,
    /// The item's title.
    Title,
    /// The item's category, parts joined by "/".
    Category,
    /// The item's brand.
    Brand,
    /// Whether the item can be bought: true, false, 1, 0, yes, no.
    Available,
}

impl Column {
    /// Every column, in order.
    pub const ALL: [Column; 14] = [
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
        Column::Title,
        Column::Category,
        Column::Brand,
        Column::Available,
    ];

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
            Column::Title => "title",
            Column::Category => "category",
            Column::Brand => "brand",
            Column::Available => "available",
        }
    }
}

/// Which columns of a file hold which canonical column. Starts with every
/// column under its own name; `user_id=CustomerID` renames one, and
/// `category=department+aisle` joins several with "/".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnMap {
    names: [Vec<String>; Column::ALL.len()],
}

impl Default for ColumnMap {
    fn default() -> Self {
        Self { names: Column::ALL.map(|column| vec![column.name().to_owned()]) }
    }
}

impl FromStr for ColumnMap {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut map = ColumnMap::default();
        for pair in text.split(',').map(str::trim).filter(|p| !p.is_empty()) {
            let known = || Column::ALL.map(Column::name).join(", ");
            let (name, columns) = pair.split_once('=').ok_or_else(|| {
                format!("{pair:?} is not of the form column=NAME; columns are {}", known())
            })?;
            let column = Column::ALL
                .into_iter()
                .find(|c| c.name() == name.trim())
                .ok_or_else(|| format!("no column {name:?}; columns are {}", known()))?;
            map.set(column, columns);
        }
        Ok(map)
    }
}

impl ColumnMap {
    /// Maps a column to the named ones, joined by `+`.
    pub fn set(&mut self, column: Column, names: &str) {
        self.names[column as usize] = names.split('+').map(|n| n.trim().to_owned()).collect();
    }

    /// For each canonical column, the places of its columns in a file with
    /// this header; a column that lacks a part has none.
    ///
    /// # Errors
    /// A sentence, where one of `required` is missing.
    pub fn resolve<S: AsRef<str>>(
        &self,
        header: &[S],
        required: &[Column],
    ) -> Result<[Vec<usize>; Column::ALL.len()], String> {
        let place = |name: &String| {
            header.iter().position(|h| h.as_ref().trim_matches('\u{feff}').trim() == name)
        };
        let places = Column::ALL.map(|column| {
            let parts: Option<Vec<usize>> = self.names[column as usize].iter().map(place).collect();
            parts.unwrap_or_default()
        });
        for &column in required {
            if places[column as usize].is_empty() {
                let header: Vec<&str> = header.iter().map(AsRef::as_ref).collect();
                return Err(format!(
                    "no column {:?} for {}; the file has: {}. Name it with --map {}=COLUMN",
                    self.names[column as usize].join("+"),
                    column.name(),
                    header.join(", "),
                    column.name()
                ));
            }
        }
        Ok(places)
    }
}

/// A row's values by canonical column; empty where there is none. Reused from
/// row to row.
#[derive(Debug, Clone, Default)]
pub struct Row {
    /// Line of the file, from 1, or row of a Parquet file.
    pub line: u64,
    values: [String; Column::ALL.len()],
}

impl Row {
    /// The value of a column, trimmed; none where it is empty.
    pub fn get(&self, column: Column) -> Option<&str> {
        Some(self.values[column as usize].trim()).filter(|v| !v.is_empty())
    }

    /// Sets the value of a column.
    pub fn set(&mut self, column: Column, value: &str) {
        let slot = &mut self.values[column as usize];
        slot.clear();
        slot.push_str(value);
    }

    /// Adds a part to a column that is joined from several.
    pub fn join(&mut self, column: Column, part: &str) {
        let slot = &mut self.values[column as usize];
        if !slot.is_empty() && !part.is_empty() {
            slot.push('/');
        }
        slot.push_str(part);
    }

    /// Empties every column.
    pub fn clear(&mut self) {
        self.values.iter_mut().for_each(String::clear);
    }

    /// The row as it was read, for the rejects file.
    pub fn text(&self) -> String {
        let filled = Column::ALL.iter().filter(|c| !self.values[**c as usize].is_empty());
        let pairs: Vec<String> =
            filled.map(|c| format!("{}={:?}", c.name(), self.values[*c as usize])).collect();
        pairs.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_rename_and_join() {
        let map: ColumnMap = "user_id=CustomerID, category=dept+aisle".parse().unwrap();
        let header = ["\u{feff}CustomerID", "item_id", "dept", "aisle", "timestamp"];
        let places = map.resolve(&header, &[Column::UserId, Column::Timestamp]).unwrap();
        assert_eq!(places[Column::UserId as usize], [0]);
        assert_eq!(places[Column::Category as usize], [2, 3]);
        assert!(places[Column::Brand as usize].is_empty());
    }

    #[test]
    fn a_missing_column_is_named_with_what_there_is() {
        let error = ColumnMap::default().resolve(&["a", "b"], &[Column::ItemId]).unwrap_err();
        assert!(error.contains("no column \"item_id\"") && error.contains("a, b"), "{error}");
        assert!("colour=x".parse::<ColumnMap>().unwrap_err().contains("no column \"colour\""));
        assert!("user_id".parse::<ColumnMap>().unwrap_err().contains("column=NAME"));
    }
}
