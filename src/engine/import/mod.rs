//! Imports: rows become events in chunks, each written whole with a digest.
//!
//! Importing a file again adds nothing. A row's identity is its content and its
//! occurrence number in the file, so that two true purchases alike in every
//! field survive, and a file that has grown adds only what is new. A chunk
//! whose digest is known is skipped unread; otherwise, where the store held
//! events before this file, its rows are counted against those.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;

use ahash::AHashMap;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use super::{Engine, Pending, Write};
use crate::domain::{Error, Event, Item, Offset, Result, now_ms};
use crate::import::preset::Verdict;
use crate::import::{Column, Preset, Reader, Refusal, Row, convert};
use crate::store::{Entry, Record};

/// Events of a chunk.
const CHUNK: usize = 8_192;

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// A log: rows are events.
    Events,
    /// A catalogue: rows are items.
    Items,
}

impl Content {
    /// Columns that such a file must have.
    pub fn required(self) -> &'static [Column] {
        match self {
            Content::Events => &[Column::UserId, Column::ItemId, Column::Timestamp],
            Content::Items => &[Column::ItemId],
        }
    }
}

/// What came of an import, in rows.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Rows read.
    pub rows: u64,
    /// Events or items written.
    pub taken: u64,
    /// Items whose title or price the catalogue learnt from the log.
    pub described: u64,
    /// Rows left out, by reason: nothing is wrong with them.
    pub skipped: HashMap<String, u64>,
    /// Rows that cannot be read, by reason.
    pub refused: HashMap<String, u64>,
}

/// Told of every refused row, with its line.
pub type OnRefusal<'a> = &'a mut dyn FnMut(&Row, &Refusal);

impl Engine {
    /// Imports what `reader` reads, adding to `report`.
    ///
    /// # Errors
    /// [`Error::Storage`] where the disk refuses, [`Error::Import`] where the file
    /// breaks off; what was written before stays, and importing again goes on
    /// from there.
    pub fn import(
        &self,
        reader: &mut dyn Reader,
        content: Content,
        preset: Option<Preset>,
        report: &mut Report,
        on_refusal: OnRefusal<'_>,
    ) -> Result<()> {
        let _hold = self.trainer().hold();
        let before = self.live().ahead_ms();
        let outcome = match content {
            Content::Events => EventImport::new(self, preset, report).run(reader, on_refusal),
            Content::Items => self.import_items(reader, report, on_refusal),
        };
        if self.live().ahead_ms() > before {
            super::warn_if_ahead(self.live());
        }
        outcome
    }

    fn import_items(
        &self,
        reader: &mut dyn Reader,
        report: &mut Report,
        on_refusal: OnRefusal<'_>,
    ) -> Result<()> {
        let mut row = Row::default();
        let mut chunk: HashMap<String, Item> = HashMap::new();
        while let Some(read) = self.next_row(reader, &mut row)? {
            report.rows += 1;
            match read.and_then(|()| convert::item(&row)) {
                Ok((id, item)) => {
                    let same = self
                        .item(&id)
                        .is_ok_and(|(idx, _)| self.live().catalogue.read().get(idx) == Some(&item));
                    if same && !chunk.contains_key(&id) {
                        *report.skipped.entry("already in the catalogue".into()).or_default() += 1;
                    } else {
                        report.taken += 1;
                        chunk.insert(id, item);
                    }
                }
                Err(refusal) => report.refuse(&row, refusal, on_refusal),
            }
            if chunk.len() == CHUNK {
                self.write_items(&mut chunk)?;
            }
        }
        self.write_items(&mut chunk)
    }

    /// The next row, unless the file is broken or the store is closing.
    fn next_row(
        &self,
        reader: &mut dyn Reader,
        row: &mut Row,
    ) -> Result<Option<std::result::Result<(), Refusal>>> {
        if self.is_closing() {
            return Err(Error::Import("stopped: the store is closing".to_owned()));
        }
        reader.next(row).map_err(|broken| Error::Import(broken.to_string()))
    }

    /// Writes items in the order of their ids, so that an import is repeatable.
    fn write_items(&self, chunk: &mut HashMap<String, Item>) -> Result<()> {
        let mut items: Vec<(String, Item)> = chunk.drain().collect();
        items.sort_by(|a, b| a.0.cmp(&b.0));
        while !items.is_empty() {
            let rest = items.split_off(items.len().min(CHUNK));
            self.submit_blocking(Write::Items(items))?.wait()?;
            items = rest;
        }
        Ok(())
    }
}

impl Report {
    fn refuse(&mut self, row: &Row, refusal: Refusal, on_refusal: OnRefusal<'_>) {
        on_refusal(row, &refusal);
        *self.refused.entry(refusal.reason).or_default() += 1;
    }

    fn skip(&mut self, reason: &str, rows: u64) {
        if rows > 0 {
            *self.skipped.entry(reason.to_owned()).or_default() += rows;
        }
    }
}

/// How often each row came, by the hash of its content.
type Counts = AHashMap<u64, u32>;

/// What the rows of a log say of an item.
#[derive(Debug, Default)]
struct Described {
    titles: HashMap<String, u32>,
    category: Option<String>,
    brand: Option<String>,
    price: Option<(i64, f64)>,
}

struct EventImport<'a> {
    engine: &'a Engine,
    preset: Option<Preset>,
    report: &'a mut Report,
    /// Where the log ended before this file.
    before: Offset,
    /// How often each row stood in the log before this file; counted when first needed.
    stored: Option<Counts>,
    /// How often each row came in this file so far.
    seen: Counts,
    chunk: Vec<(Event, u64, u32)>,
    /// The chunk before, on its way to the disk while this one is read.
    pending: Option<Pending>,
    described: AHashMap<String, Described>,
}

impl<'a> EventImport<'a> {
    fn new(engine: &'a Engine, preset: Option<Preset>, report: &'a mut Report) -> Self {
        let before = engine.live().offset();
        let (stored, seen, described, chunk, pending) = Default::default();
        Self { engine, preset, report, before, stored, seen, chunk, pending, described }
    }

    fn run(mut self, reader: &mut dyn Reader, on_refusal: OnRefusal<'_>) -> Result<()> {
        let mut row = Row::default();
        let mut bytes = Vec::new();
        let now_ms = now_ms();
        while let Some(read) = self.next(reader, &mut row)? {
            self.report.rows += 1;
            let event = read.and_then(|()| self.event(&mut row, now_ms));
            match event {
                Ok(Some(event)) => self.take(event, &row, &mut bytes),
                Ok(None) => {}
                Err(refusal) => self.report.refuse(&row, refusal, on_refusal),
            }
            if self.chunk.len() == CHUNK {
                self.write_chunk()?;
            }
        }
        self.write_chunk()?;
        self.settle()?;
        self.describe_items()
    }

    /// The next row; what was read before a file breaks off is written first.
    fn next(
        &mut self,
        reader: &mut dyn Reader,
        row: &mut Row,
    ) -> Result<Option<std::result::Result<(), Refusal>>> {
        let next = self.engine.next_row(reader, row);
        if next.is_err() {
            self.write_chunk()?;
            self.settle()?;
        }
        next
    }

    /// The row's event, cleaned; none where cleaning skips it.
    fn event(&mut self, row: &mut Row, now_ms: i64) -> std::result::Result<Option<Event>, Refusal> {
        if let Some(preset) = self.preset
            && let Verdict::Skip(reason) = preset.clean(row)
        {
            self.report.skip(reason, 1);
            return Ok(None);
        }
        let mut event = convert::event(row, now_ms)?;
        event.user_id = self.engine.pseudonyms.of(&event.user_id).into_owned();
        Ok(Some(event))
    }

    fn take(&mut self, event: Event, row: &Row, bytes: &mut Vec<u8>) {
        let content = content_hash(&event, bytes);
        let occurrence = self.seen.entry(content).or_default();
        *occurrence += 1;
        if *occurrence > 1 && self.preset.is_some_and(Preset::drops_duplicates) {
            self.report.skip("exact duplicate of another line", 1);
            return;
        }
        let occurrence = *occurrence;
        self.note(&event, row);
        self.chunk.push((event, content, occurrence));
    }

    /// Remembers what the row says of its item.
    fn note(&mut self, event: &Event, row: &Row) {
        let [title, category, brand] =
            [Column::Title, Column::Category, Column::Brand].map(|c| row.get(c));
        if title.is_none() && category.is_none() && brand.is_none() && event.price.is_none() {
            return;
        }
        if !self.described.contains_key(&event.item_id) {
            self.described.insert(event.item_id.clone(), Described::default());
        }
        let Some(item) = self.described.get_mut(&event.item_id) else { return };
        if let Some(title) = title {
            match item.titles.get_mut(title) {
                Some(count) => *count += 1,
                None => drop(item.titles.insert(title.to_owned(), 1)),
            }
        }
        if let Some(price) = event.price
            && item.price.is_none_or(|(time_ms, _)| event.time_ms >= time_ms)
        {
            item.price = Some((event.time_ms, price));
        }
        item.category = category.map(str::to_owned).or(item.category.take());
        item.brand = brand.map(str::to_owned).or(item.brand.take());
    }

    fn write_chunk(&mut self) -> Result<()> {
        if self.chunk.is_empty() {
            return Ok(());
        }
        let rows = std::mem::take(&mut self.chunk);
        let identity: Vec<u8> = rows
            .iter()
            .flat_map(|(_, content, occurrence)| {
                content.to_le_bytes().into_iter().chain(occurrence.to_le_bytes())
            })
            .collect();
        let digest = xxh3_128(&identity);
        let total = rows.len() as u64;
        if self.engine.has_import_chunk(digest) {
            self.report.skip("already imported", total);
            return Ok(());
        }
        let stored = self.stored()?;
        let fresh: Vec<Event> = rows
            .into_iter()
            .filter(|(_, content, occurrence)| {
                stored.get(content).is_none_or(|count| occurrence > count)
            })
            .map(|(event, ..)| event)
            .collect();
        self.report.skip("already imported", total - fresh.len() as u64);
        self.settle()?;
        self.pending = Some(self.engine.submit_blocking(Write::Imported(digest, fresh))?);
        Ok(())
    }

    /// Waits for the chunk that is on its way.
    fn settle(&mut self) -> Result<()> {
        let Some(pending) = self.pending.take() else { return Ok(()) };
        let receipt = pending.wait()?;
        self.report.skip("already imported", receipt.duplicates as u64);
        // The record of the chunk itself is no event.
        self.report.taken += receipt.recorded as u64 - 1;
        Ok(())
    }

    fn stored(&mut self) -> Result<&Counts> {
        if self.stored.is_none() {
            let mut counts = Counts::default();
            if self.before > 0 {
                self.count_stored(&mut counts)?;
            }
            self.stored = Some(counts);
        }
        Ok(self.stored.get_or_insert_default())
    }

    fn count_stored(&self, counts: &mut Counts) -> Result<()> {
        let users = self.engine.live().users.read();
        let items = self.engine.live().items.read();
        let mut bytes = Vec::new();
        self.engine.replay(&mut |entry| {
            if let Entry::Record(offset, Record::Event(stored)) = entry
                && offset < self.before
            {
                let event = Event {
                    event_id: stored.event_id.to_owned(),
                    kind: stored.kind,
                    user_id: users.id(stored.user).to_owned(),
                    item_id: items.id(stored.item).to_owned(),
                    time_ms: stored.time_ms,
                    quantity: stored.quantity,
                    price: stored.price,
                    basket_id: stored.basket_id.to_owned(),
                    session_id: stored.session_id.to_owned(),
                    recommendation_id: String::new(),
                    channel: String::new(),
                    rating: stored.rating,
                };
                *counts.entry(content_hash(&event, &mut bytes)).or_default() += 1;
            }
        })
    }

    /// Tells the catalogue what the log says of items it does not know yet.
    fn describe_items(self) -> Result<()> {
        let mut new: HashMap<String, Item> = HashMap::new();
        for (id, described) in self.described {
            let known = self
                .engine
                .live()
                .item(&id)
                .is_some_and(|idx| self.engine.live().catalogue.read().get(idx).is_some());
            if known {
                continue;
            }
            // The title given most often; ties go to the alphabet, for repeatability.
            let title =
                described.titles.into_iter().max_by(|a, b| a.1.cmp(&b.1).then(b.0.cmp(&a.0)));
            let item = Item {
                title: title.map(|t| t.0).unwrap_or_default(),
                categories: described.category.into_iter().collect(),
                brand: described.brand.unwrap_or_default(),
                price: described.price.map(|p| p.1),
                ..Item::default()
            };
            if item.validate().is_ok()
                && let Slot::Vacant(slot) = new.entry(id)
            {
                slot.insert(item);
            }
        }
        self.report.described += new.len() as u64;
        self.engine.write_items(&mut new)
    }
}

/// A hash of everything that makes a row what it is. Sixty-four bits: among
/// twenty million rows, two share one with a chance of 1 in 100,000.
fn content_hash(event: &Event, bytes: &mut Vec<u8>) -> u64 {
    bytes.clear();
    for text in
        [&event.user_id, &event.item_id, &event.basket_id, &event.session_id, &event.event_id]
    {
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(0);
    }
    bytes.push(event.kind as u8);
    bytes.extend_from_slice(&event.time_ms.to_le_bytes());
    bytes.extend_from_slice(&event.quantity.to_le_bytes());
    for number in [event.price, event.rating] {
        bytes.extend_from_slice(&number.unwrap_or(f64::NAN).to_le_bytes());
    }
    xxh3_64(bytes)
}
