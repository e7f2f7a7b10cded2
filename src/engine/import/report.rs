//! The report of an import.

use std::collections::{BTreeMap, HashMap};

use roaring::RoaringBitmap;

use super::context::OnRefusal;
use crate::doctor::Finding;
use crate::domain::{Event, EventKind};
use crate::import::fields::is_no_id;
use crate::import::{Column, Refusal, Row};

/// The verdict on a dropped field.
pub const DROPPED: &str = "dropped, the row taken";

/// Number of rows by reason, and the option that helps.
pub type Reasons = HashMap<(String, &'static str), u64>;

/// The report of an import, in rows.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Rows read.
    pub rows: u64,
    /// Events, items or users written.
    pub taken: u64,
    /// Rows that add nothing new.
    pub known: u64,
    /// Items whose title or price the catalogue got from the log.
    pub described: u64,
    /// Items that became unavailable, since the whole catalogue does not name them.
    pub delisted: u64,
    /// Rows of a log without a user.
    pub without_user: u64,
    /// Rows whose id looks like a placeholder (NULL, 0): the column and the id.
    pub suspicious: BTreeMap<(&'static str, String), u64>,
    /// Events read, by kind, in the order of [`EventKind::ALL`].
    pub kinds: [u64; EventKind::ALL.len()],
    /// The earliest and the latest time of events read, in milliseconds since 1970.
    pub span: Option<(i64, i64)>,
    /// Valid rows that were left out, by reason.
    pub skipped: Reasons,
    /// Rows that cannot be read.
    pub refused: Reasons,
    /// Unreadable fields of rows that were taken without them.
    pub dropped: Reasons,
    /// Hints on options that seem to be needed.
    pub notices: Vec<String>,
    /// What the doctor found, worst first.
    pub findings: Vec<Finding>,
    /// The items that rows of a catalogue named, by idx.
    pub(super) named: RoaringBitmap,
}

impl Report {
    /// Whether rows were read and none of them was taken or known.
    pub fn is_barren(&self) -> bool {
        self.rows > 0 && self.taken == 0 && self.known == 0
    }

    /// Adds the report of another file.
    pub fn add(&mut self, other: Report) {
        let Report { rows, taken, known, described, delisted, without_user, .. } = other;
        let sums = [
            (&mut self.rows, rows),
            (&mut self.taken, taken),
            (&mut self.known, known),
            (&mut self.described, described),
            (&mut self.delisted, delisted),
            (&mut self.without_user, without_user),
        ];

        sums.into_iter().for_each(|(sum, more)| *sum += more);
        let reasons = [
            (&mut self.skipped, other.skipped),
            (&mut self.refused, other.refused),
            (&mut self.dropped, other.dropped),
        ];

        for (sums, more) in reasons {
            more.into_iter().for_each(|(reason, n)| *sums.entry(reason).or_default() += n);
        }

        other
            .suspicious
            .into_iter()
            .for_each(|(id, n)| *self.suspicious.entry(id).or_default() += n);
        self.kinds.iter_mut().zip(other.kinds).for_each(|(sum, n)| *sum += n);
        self.span = match (self.span, other.span) {
            (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
            (one, other) => one.or(other),
        };

        let new = other.notices.into_iter().filter(|notice| !self.notices.contains(notice));
        let new: Vec<String> = new.collect();
        self.notices.extend(new);
        self.findings.extend(other.findings);
        self.findings = Finding::worst_first(std::mem::take(&mut self.findings));
        self.named |= other.named;
    }

    /// Number of refused rows.
    pub fn refused_rows(&self) -> u64 {
        self.refused.values().sum()
    }

    pub(super) fn refuse(&mut self, row: &Row, refusal: Refusal, on_refusal: OnRefusal<'_>) {
        on_refusal(row, &refusal);
        *self.refused.entry((refusal.reason, refusal.help)).or_default() += 1;
    }

    pub(super) fn drop_fields(
        &mut self,
        row: &Row,
        dropped: Vec<Refusal>,
        on_refusal: OnRefusal<'_>,
    ) {
        for field in dropped {
            let reason = format!("{DROPPED}: {}", field.reason);
            on_refusal(row, &Refusal { reason, ..field.clone() });
            *self.dropped.entry((field.reason, field.help)).or_default() += 1;
        }
    }

    pub(super) fn skip(&mut self, reason: &str, rows: u64) {
        if rows > 0 {
            *self.skipped.entry((reason.to_owned(), "")).or_default() += rows;
        }
    }

    pub(super) fn know(&mut self, reason: &str, rows: u64) {
        self.known += rows;
        self.skip(reason, rows);
    }

    /// Occurrences an event's kind and time.
    pub(super) fn note(&mut self, event: &Event) {
        self.kinds[event.kind as usize] += 1;
        let (first, last) = self.span.unwrap_or((event.time_ms, event.time_ms));
        self.span = Some((first.min(event.time_ms), last.max(event.time_ms)));
    }

    /// Occurrences ids that look like words for nothing.
    pub(super) fn note_ids(&mut self, event: &Event) {
        let ids = [(Column::UserId, &event.user_id), (Column::ItemId, &event.item_id)];
        for (column, id) in ids {
            if is_no_id(id) {
                *self.suspicious.entry((column.name(), id.clone())).or_default() += 1;
            }
        }
    }
}
