//! Where reading topics goes on.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::store::Position;

/// The offset of the next message, by topic and partition.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Positions(BTreeMap<String, BTreeMap<u32, u64>>);

impl Positions {
    /// Notes a position.
    pub fn note(&mut self, position: &Position<'_>) {
        let Position { topic, partition, next } = *position;
        match self.0.get_mut(topic) {
            Some(partitions) => drop(partitions.insert(partition, next)),
            None => drop(self.0.insert(topic.to_owned(), BTreeMap::from([(partition, next)]))),
        }
    }

    /// The offset of the next message of a partition; none before the first one.
    pub fn next(&self, topic: &str, partition: u32) -> Option<u64> {
        self.0.get(topic)?.get(&partition).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_position_of_each_partition_holds() {
        let mut positions = Positions::default();
        for (topic, partition, next) in [("a", 0, 5), ("a", 1, 7), ("b", 0, 1), ("a", 0, 9)] {
            positions.note(&Position { topic, partition, next });
        }
        assert_eq!(positions.next("a", 0), Some(9));
        assert_eq!(positions.next("a", 1), Some(7));
        assert_eq!((positions.next("b", 0), positions.next("b", 1)), (Some(1), None));
    }
}
