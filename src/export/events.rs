//! Events as rows.

use std::fs::File;

use parking_lot::RwLockReadGuard;

use super::columns::{Column, Format, Table};
use super::error::ExportError;
use crate::domain::EventKind;
use crate::live::Vocabulary;
use crate::store::StoredEvent;

/// The names of users and items.
pub(super) struct Names<'a> {
    pub(super) users: RwLockReadGuard<'a, Vocabulary>,
    pub(super) items: RwLockReadGuard<'a, Vocabulary>,
}

/// A table of events, which an import reads back.
pub(super) struct EventTable(Table<17>);

impl EventTable {
    pub(super) fn create(
        file: File,
        format: Format,
        facts: &[(&str, String)],
    ) -> Result<Self, ExportError> {
        let columns = [
            ("user_id", Column::text()),
            ("item_id", Column::text()),
            ("event", Column::text()),
            ("timestamp", Column::moment()),
            ("quantity", Column::number()),
            ("price", Column::number()),
            ("basket_id", Column::text()),
            ("session_id", Column::text()),
            ("event_id", Column::text()),
            ("rating", Column::number()),
            ("channel", Column::text()),
            ("recommendation_id", Column::text()),
            ("dwell_ms", Column::number()),
            ("hide_scope", Column::text()),
            ("hide_reason", Column::text()),
            ("review", Column::text()),
            ("sentiment", Column::number()),
        ];
        Table::create(file, format, columns, facts).map(Self)
    }

    /// Adds an event.
    pub(super) fn push(
        &mut self,
        event: &StoredEvent<'_>,
        names: &Names<'_>,
    ) -> Result<(), ExportError> {
        let [user_id, item_id, kind, moment, quantity, price, rest @ ..] = self.0.columns();
        let [basket_id, session_id, event_id, rating, channel, recommendation_id, rest @ ..] = rest;
        let [dwell_ms, hide_scope, hide_reason, review, sentiment] = rest;

        user_id.push_text(names.users.id(event.user));
        item_id.push_text(names.items.id(event.item));
        kind.push_text(event.kind.name());
        moment.push_moment(event.time_ms);
        quantity.push_number(Some(event.quantity));
        price.push_number(event.price);
        basket_id.push_text(event.basket_id);
        session_id.push_text(event.session_id);
        event_id.push_text(event.event_id);
        rating.push_number(event.rating);
        channel.push_text(event.channel);
        recommendation_id.push_text(event.recommendation_id);
        dwell_ms.push_number(event.dwell_ms.map(f64::from));
        let hides = event.kind == EventKind::Hide;
        hide_scope.push_text(if hides { event.scope.name() } else { "" });
        hide_reason.push_text(event.reason);
        review.push_text(event.review);
        sentiment.push_number(event.sentiment);
        self.0.end_row()
    }

    /// Writes the rest; returns the number of rows.
    pub(super) fn finish(self) -> Result<u64, ExportError> {
        self.0.finish()
    }
}
