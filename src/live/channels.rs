//! The channels that events name, as numbers that fit into every event of every history.

use ahash::AHashMap;
use compact_str::CompactString;
use serde::{Deserialize, Serialize};

/// The number of the channels beyond the first 254.
const OTHER: u8 = u8::MAX;

/// The channels of a store in the order of their first event.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Channels {
    names: Vec<CompactString>,
    numbers: AHashMap<CompactString, u8>,
}

impl Channels {
    /// The number of a channel, if it is known or none is needed: 0 stands for no channel.
    pub fn number(&self, name: &str) -> Option<u8> {
        match name {
            "" => Some(0),
            _ if self.names.len() >= usize::from(OTHER) - 1 => {
                Some(self.numbers.get(name).copied().unwrap_or(OTHER))
            }
            _ => self.numbers.get(name).copied(),
        }
    }

    /// Gives a channel a number. See [`Channels::number`].
    pub fn intern(&mut self, name: &str) -> u8 {
        self.number(name).unwrap_or_else(|| {
            let number = self.names.len() as u8 + 1;
            self.names.push(name.into());
            self.numbers.insert(name.into(), number);
            number
        })
    }

    /// The name of a number; none for 0.
    pub fn name(&self, number: u8) -> Option<&str> {
        match number {
            0 => None,
            OTHER => Some("other"),
            _ => self.names.get(usize::from(number) - 1).map(CompactString::as_str),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_have_numbers_and_the_rest_share_one() {
        let mut channels = Channels::default();
        assert_eq!((channels.number("web"), channels.number("")), (None, Some(0)));
        for n in 0..300 {
            channels.intern(&format!("c{n}"));
        }
        assert_eq!((channels.intern("c0"), channels.intern("c253")), (1, 254));
        assert_eq!((channels.intern("c254"), channels.number("new")), (OTHER, Some(OTHER)));
        let names = [0, 1, 254, OTHER].map(|number| channels.name(number));
        assert_eq!(names, [None, Some("c0"), Some("c253"), Some("other")]);
    }
}
