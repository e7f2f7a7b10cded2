//! Imports logs: events in chunks, each written with a digest.
//!
//! Importing a file again adds nothing. A row's identity is its content and its occurrence number
//! in the file, so that two real purchases with equal fields survive, and a file that has grown
//! adds only its new rows. A chunk with a known digest is skipped; otherwise, where the store had
//! events before this file, its rows are counted against those.

use ahash::AHashMap;
use xxhash_rust::xxh3::xxh3_128;

use super::catalogue::CatalogueImport;
use super::context::{CHUNK, Context, OnRefusal};
use super::described::Described;
use super::report::Report;
use crate::doctor::{Examination, Examined};
use crate::domain::{Event, ItemChange, ItemField, Offset, Result, now_ms};
use crate::engine::write::{Pending, Write};
use crate::import::convert::NoEvent;
use crate::import::fields::Fields;
use crate::import::{Column, Plan, Reader, Refusal, Row, identity, notice};
use crate::store::{Entry, Record};

/// Number of occurrences of each row, by the hash of its content.
type Occurrences = AHashMap<u64, u32>;

pub(super) struct EventImport<'a> {
    context: Context<'a>,
    plan: &'a Plan,
    report: &'a mut Report,
    /// The end of the log before this file.
    before: Offset,
    /// Occurrences in the log before this file; counted when first needed.
    stored: Option<Occurrences>,
    /// Occurrences in this file so far.
    seen: Occurrences,
    chunk: Vec<(Event, u64, u32)>,
    /// The previous chunk, which is written while this one is read.
    pending: Option<Pending>,
    described: Described,
    examination: Examination,
}

impl<'a> EventImport<'a> {
    pub(super) fn new(context: Context<'a>, plan: &'a Plan, report: &'a mut Report) -> Self {
        let before = context.state.live.offset();
        let (stored, seen, described, chunk, pending) = Default::default();
        let examination = Examination::new(now_ms());
        Self { context, plan, report, before, stored, seen, chunk, pending, described, examination }
    }

    pub(super) fn run(mut self, reader: &mut dyn Reader, on_refusal: OnRefusal<'_>) -> Result<()> {
        if self.plan.preset.is_none() {
            self.report.notices.extend(notice::of_header(reader.header()));
            self.report.notices.extend(notice::of_unread(&reader.unread()));
        }

        let mut row = Row::default();
        let mut bytes = Vec::new();
        let now_ms = now_ms();
        while let Some(read) = self.next(reader, &mut row)? {
            self.report.rows += 1;
            match read {
                Ok(()) => self.take(&mut row, now_ms, &mut bytes, on_refusal),
                Err(refusal) => self.report.refuse(&row, refusal, on_refusal),
            }
            if self.chunk.len() == CHUNK {
                self.write_chunk()?;
            }
        }

        self.write_chunk()?;
        self.settle()?;
        self.report.findings = self.examination.findings();
        self.describe_items()
    }

    /// The next row; earlier rows are written before an error is returned.
    fn next(
        &mut self,
        reader: &mut dyn Reader,
        row: &mut Row,
    ) -> Result<Option<std::result::Result<(), Refusal>>> {
        let next = self.context.next_row(reader, row);
        if next.is_err() {
            self.write_chunk()?;
            self.settle()?;
        }
        next
    }

    /// Adds a row's event to the chunk, or counts why there is none.
    fn take(&mut self, row: &mut Row, now_ms: i64, bytes: &mut Vec<u8>, on_refusal: OnRefusal<'_>) {
        if Fields::new(row, &self.plan.dialect).is_empty(Column::UserId) {
            self.report.without_user += 1;
        }

        let line = row.line;
        let mut converted = match self.plan.event(row, now_ms) {
            Ok(converted) => converted,
            Err(NoEvent::Skipped(reason)) => return self.report.skip(&reason, 1),
            Err(NoEvent::Refused(refusal)) => {
                return self.report.refuse(row, refusal, on_refusal);
            }
        };

        self.report.note_ids(&converted.value.event);
        let user = self.context.state.pseudonyms.of(&converted.value.event.user_id).into_owned();
        let given = std::mem::replace(&mut converted.value.event.user_id, user);

        let content = identity::hash(&converted.value.event, bytes);
        let occurrence = self.seen.entry(content).or_default();
        *occurrence += 1;
        if *occurrence > 1 && self.plan.drops_duplicates() {
            return self.report.skip("exact duplicate of another line", 1);
        }

        let occurrence = *occurrence;
        let examined = Examined::of(&converted.value.event, line, occurrence > 1);
        self.examination.event(&Examined { user: &given, ..examined });
        self.report.note(&converted.value.event);
        self.described.note(&converted.value);
        let event = converted.value.event;
        let dropped = converted.dropped;
        self.report.drop_fields(row, dropped, on_refusal);
        self.chunk.push((event, content, occurrence));
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
        if self.context.state.live.imported.read().contains(&digest) {
            self.report.know("already imported", total);
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

        self.report.know("already imported", total - fresh.len() as u64);
        self.settle()?;
        self.pending = Some(self.context.writer.submit_blocking(Write::Imported(digest, fresh))?);
        Ok(())
    }

    /// Waits for the chunk that is being written.
    fn settle(&mut self) -> Result<()> {
        let Some(pending) = self.pending.take() else { return Ok(()) };
        let receipt = pending.wait()?;
        self.report.know("duplicate event_id", receipt.duplicates as u64);
        if receipt.declined > 0 {
            let reason = "the user does not want events to be recorded";
            self.report.skip(reason, receipt.declined as u64);
        }
        // The record of the chunk itself is not an event.
        self.report.taken += receipt.recorded as u64 - 1;
        Ok(())
    }

    fn stored(&mut self) -> Result<&Occurrences> {
        if self.stored.is_none() {
            let mut counts = Occurrences::default();
            if self.before > 0 {
                self.count_stored(&mut counts)?;
            }
            self.stored = Some(counts);
        }
        Ok(self.stored.get_or_insert_default())
    }

    fn count_stored(&self, counts: &mut Occurrences) -> Result<()> {
        let users = self.context.state.live.users.read();
        let items = self.context.state.live.items.read();
        let mut bytes = Vec::new();
        self.context.state.replay(&mut |entry| {
            if let Entry::Record(offset, Record::Event(stored)) = entry
                && offset < self.before
            {
                let event = stored.named(users.id(stored.user), items.id(stored.item));
                *counts.entry(identity::hash(&event, &mut bytes)).or_default() += 1;
            }
        })
    }

    /// Adds items that the catalogue does not know yet, with the log's data on them.
    fn describe_items(self) -> Result<()> {
        let Self { context, plan, report, described, .. } = self;
        if plan.preset.is_none() {
            report.notices.extend(described.notices());
        }

        let live = &context.state.live;
        let mut new = Vec::new();
        for (id, item, dropped) in described.into_items() {
            let known = live.item(&id).is_some_and(|idx| live.catalogue.read().knows(idx));
            if known {
                continue;
            }

            for field in dropped {
                *report.dropped.entry((field.reason, field.help)).or_default() += 1;
            }

            // Its availability may have been set before.
            let mut change = ItemChange::of(item);
            let said = ItemField::ALL.into_iter().filter(|field| *field != ItemField::Available);
            said.for_each(|field| change.add(field));
            new.push((id, change));
        }

        report.described += new.len() as u64;
        CatalogueImport::new(context).write_items(&mut new, report)
    }
}
