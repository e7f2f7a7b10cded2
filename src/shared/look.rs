//! What a follower sees of the server that writes, and the leases that follow from it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use super::notes::WriterNote;

/// The note of the server that writes, as it was read.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) note: WriterNote,
    /// A moment before which everything that was acknowledged lies before the ends that the note names; none
    /// where too little was seen yet.
    pub(super) asked: Option<Instant>,
}

/// Dates notes.
///
/// No note says when it was put together: clocks differ. But each names one that was known to be written before. Whoever
/// began to read at some moment, and got the note n, knows that no later one was written by then; so a note that names a
/// later one was put together after that moment, and what was acknowledged before it lies before the note's ends.
#[derive(Debug, Default)]
pub(super) struct Dating {
    /// The numbers of notes that were read, with the last moment at which reading each began.
    read: VecDeque<(u64, Instant)>,
}

/// Number of notes that are remembered.
const REMEMBERED: usize = 64;

impl Dating {
    /// Dates a note that was read; `began`: when reading it began.
    pub(super) fn date(&mut self, note: WriterNote, began: Instant) -> Arc<Seen> {
        let (beat, after) = (note.seat.beat, note.seat.after);
        let earlier = self.read.iter().rev().find(|(read, _)| *read < after);
        let asked = earlier.map(|(_, began)| *began);
        match self.read.back_mut() {
            Some((last, at)) if *last == beat => *at = began,
            _ => self.read.push_back((beat, began)),
        }
        if self.read.len() > REMEMBERED {
            self.read.pop_front();
        }
        Arc::new(Seen { note, asked })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::objects::Seat;

    fn note(beat: u64) -> WriterNote {
        noted(beat, beat - 1)
    }

    fn noted(beat: u64, after: u64) -> WriterNote {
        let seat = Seat { holder: "a".to_owned(), beat, after, lease_ms: 1, is_left: false };
        let (version, address) = (String::new(), String::new());
        WriterNote { format: 1, version, seat, address, server: None, stores: Default::default() }
    }

    #[test]
    fn a_note_counts_from_when_none_that_it_names_was_written() {
        let mut dating = Dating::default();
        let begin = Instant::now();
        let at = |ms: u64| begin + Duration::from_millis(ms);
        assert_eq!(dating.date(note(5), at(0)).asked, None);
        assert_eq!(dating.date(note(6), at(10)).asked, None, "it may have been written late");
        assert_eq!(dating.date(note(7), at(20)).asked, Some(at(0)));
        assert_eq!(dating.date(note(7), at(30)).asked, Some(at(0)), "the same says nothing new");
        assert_eq!(dating.date(note(9), at(40)).asked, Some(at(30)));
        assert_eq!(dating.date(note(10), at(50)).asked, Some(at(30)));
        let late = dating.date(noted(12, 10), at(55)).asked;
        assert_eq!(late, Some(at(40)), "11 was put together, and never written");
        for beat in 13..200 {
            dating.date(note(beat), at(60));
        }
        assert_eq!(dating.read.len(), REMEMBERED);
    }
}
