//! Shards of users: which of several servers has a user's history.
//!
//! A user's shard follows from their id and the number of shards alone, so that every client finds it by itself:
//! the first eight bytes of the id's SHA-256, as a big-endian number, go through jump consistent hashing (Lamping
//! and Veach, "A fast, minimal memory, consistent hash algorithm", 2014). One more shard takes its users from all
//! others, in equal parts, and no user moves between these.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Maximum number of shards.
pub const MAX_SHARDS: u32 = 1_000;

/// One shard of several, as text "2/4": the third of four.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Shard {
    index: u32,
    count: u32,
}

impl Shard {
    /// The only one of one: it has all users.
    pub const WHOLE: Shard = Shard { index: 0, count: 1 };

    /// Its number, from 0.
    pub fn index(self) -> u32 {
        self.index
    }

    /// The number of shards.
    pub fn count(self) -> u32 {
        self.count
    }

    /// The number of the shard, of all these, that has a user.
    pub fn of(self, user_id: &str) -> u32 {
        shard_of(user_id, self.count)
    }

    /// Whether it has a user.
    pub fn has(self, user_id: &str) -> bool {
        self == Self::WHOLE || self.of(user_id) == self.index
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('/');
        let numbers =
            parts.and_then(|(index, count)| Some((index.parse().ok()?, count.parse().ok()?)));
        match numbers {
            Some((index, count)) if index < count && count <= MAX_SHARDS => {
                Ok(Self { index, count })
            }
            _ => Err(format!(
                "must be a shard's number, from 0, and the number of shards, up to {MAX_SHARDS}, as \"2/4\", not {text:?}"
            )),
        }
    }
}

impl TryFrom<String> for Shard {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Shard> for String {
    fn from(shard: Shard) -> String {
        shard.to_string()
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

/// The number of the shard, of `count`, that has a user.
fn shard_of(user_id: &str, count: u32) -> u32 {
    let digest = Sha256::digest(user_id.as_bytes());
    let first = digest.iter().take(8);
    let mut key = first.fold(0, |key: u64, byte| key << 8 | u64::from(*byte));

    let (mut shard, mut next) = (0, 0);
    while next < i64::from(count) {
        shard = next;
        key = key.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1);
        let part = (1_u64 << 31) as f64 / ((key >> 33) + 1) as f64;
        next = ((shard + 1) as f64 * part) as i64;
    }
    shard as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_spread_evenly_and_few_move_when_a_shard_comes() {
        let of = |count| move |n: u32| shard_of(&format!("user-{n}"), count);
        for count in [1, 2, 4, 7, 32] {
            let mut found = vec![0_u32; count as usize];
            (0..32_000).map(of(count)).for_each(|shard| found[shard as usize] += 1);
            let even = 32_000 / count;
            let is_even = |found: &u32| found.abs_diff(even) < even / 5;
            assert!(found.iter().all(is_even), "{count}: {found:?}");
        }

        let moved = (0..32_000).filter(|n| of(4)(*n) != of(5)(*n));
        let to: Vec<u32> = moved.map(of(5)).collect();
        assert!(to.iter().all(|shard| *shard == 4));
        assert!((5_900..6_900).contains(&to.len()), "{}", to.len());
    }

    /// The same numbers are in the tests of the clients.
    #[test]
    fn a_shard_is_the_same_in_every_language() {
        let of = |id| [2, 4, 10, 1_000].map(|count| shard_of(id, count));
        let shards = [of("anna"), of("17850"), of("顾客"), of("")];
        assert_eq!(shards, [[1, 2, 5, 56], [1, 1, 1, 712], [0, 3, 3, 38], [1, 2, 5, 22]]);
    }

    #[test]
    fn a_shard_is_written_as_its_number_of_how_many() {
        let shard: Shard = "2/4".parse().unwrap();
        assert_eq!((shard.index(), shard.count(), shard.to_string().as_str()), (2, 4, "2/4"));
        assert!(["0/1", "999/1000"].iter().all(|text| text.parse::<Shard>().is_ok()));
        for wrong in ["", "2", "4/4", "-1/4", "0/0", "0/1001", "a/b", "1/2/3"] {
            let refused = wrong.parse::<Shard>().unwrap_err();
            assert!(refused.contains("number of shards"), "{refused}");
        }
    }
}
