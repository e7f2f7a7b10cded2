//! Team-draft interleaving of two lists into one (Radlinski, Kurup and Joachims, CIKM 2008): the same user
//! judges both, so that far fewer users are needed than where each sees one.

use std::collections::HashSet;
use std::hash::Hash;

/// The list that an item of an interleaved list came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Team {
    /// The first list's, the control's.
    First,
    /// The second list's.
    Second,
    /// Both lists had it next: it says nothing about which is better.
    Both,
}

impl Team {
    /// Its number in the log.
    pub fn number(self) -> u8 {
        self as u8
    }

    /// The team of a number in the log.
    pub fn numbered(number: u8) -> Self {
        match number {
            0 => Team::First,
            1 => Team::Second,
            _ => Team::Both,
        }
    }

    /// What a click on its items counts for the second list.
    pub fn sign(self) -> i32 {
        match self {
            Team::First => -1,
            Team::Second => 1,
            Team::Both => 0,
        }
    }
}

/// An item of an interleaved list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drafted {
    /// The team that is credited for it.
    pub team: Team,
    /// Whether it is read from the second list.
    pub of_second: bool,
    /// Its place there.
    pub place: usize,
}

/// Interleaves two lists to a length: in each round both teams take their best item that is not taken yet,
/// and a coin, the next bit of `coins`, decides which is first. An item that would be taken now whatever the
/// coin says is credited to neither: that is as fair, since it does not depend on the coin, and less noisy.
pub fn team_draft<T: Hash + Eq>(
    first: &[T],
    second: &[T],
    limit: usize,
    mut coins: u64,
) -> Vec<Drafted> {
    let mut taken: HashSet<&T> = HashSet::new();
    let mut list = Vec::with_capacity(limit);
    while list.len() < limit {
        let second_is_first = coins & 1 == 1;
        coins = coins.rotate_right(1);

        // Of both orders of the round, the first picks and then the second ones.
        let (one, other) = (round(first, second, &taken), round(second, first, &taken));
        let (own, mirrored) = if second_is_first { (other, one) } else { (one, other) };
        let lists = if second_is_first { [second, first] } else { [first, second] };
        let before = list.len();
        for turn in 0..2 {
            let Some(place) = own[turn] else { continue };
            let item = &lists[turn][place];
            let counterpart = mirrored[turn].map(|place| &lists[1 - turn][place]);
            let of_second = second_is_first != (turn == 1);
            let team = match counterpart {
                Some(same) if same == item => Team::Both,
                // The other list has ended: where it had no choice, nothing is preferred.
                None => Team::Both,
                _ if of_second => Team::Second,
                _ => Team::First,
            };
            if list.len() < limit {
                list.push(Drafted { team, of_second, place });
            }
            taken.insert(item);
        }
        if list.len() == before {
            break;
        }
    }
    list
}

/// The places that two teams take in a round, the first team's in its list and then the second's.
fn round<T: Hash + Eq>(first: &[T], second: &[T], taken: &HashSet<&T>) -> [Option<usize>; 2] {
    let best = first.iter().position(|item| !taken.contains(item));
    let just = best.map(|place| &first[place]);
    let next = second.iter().position(|item| !taken.contains(item) && Some(item) != just);
    [best, next]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items<'a>(first: &[&'a str], second: &[&'a str], limit: usize, coins: u64) -> String {
        let drafted = team_draft(first, second, limit, coins);
        drafted
            .iter()
            .map(|of| if of.of_second { second[of.place] } else { first[of.place] })
            .collect()
    }

    fn teams(first: &[&str], second: &[&str], coins: u64) -> Vec<i32> {
        team_draft(first, second, 4, coins).iter().map(|of| of.team.sign()).collect()
    }

    #[test]
    fn teams_take_turns_and_no_item_comes_twice() {
        let (first, second) = (["a", "b", "c"], ["b", "d", "a"]);
        assert_eq!(items(&first, &second, 4, 0), "abcd");
        assert_eq!(items(&first, &second, 4, 0b11), "badc");
        assert_eq!(items(&first, &second, 3, 0), "abc");
        assert_eq!(items(&first, &[], 5, 0), "abc", "one team goes on alone");
        assert_eq!(items(&[], &[], 5, 0), "");
    }

    #[test]
    fn what_both_would_take_is_credited_to_neither() {
        // Once a list has nothing left, the other's item comes whatever the coin says.
        assert_eq!(teams(&["a", "b"], &["a", "c"], 0), [0, 1, 0]);
        assert_eq!(teams(&["a", "b"], &["a", "c"], 1), [0, -1, 0]);
        let list = ["a", "b", "c", "d"];
        assert_eq!(teams(&list, &list, 0b01), [0, 0, 0, 0]);
        assert_eq!(teams(&["a"], &["b", "c", "d"], 0), [-1, 1, 0, 0], "one goes on alone");
        assert_eq!(teams(&[], &["b", "c"], 0), [0, 0]);
    }

    #[test]
    fn a_user_who_clicks_anywhere_prefers_neither() {
        // Whatever the lists, each position's credit has the mean 0 over the coins.
        let (first, second) = (["a", "b", "x", "c", "e"], ["b", "c", "x", "f", "a"]);
        let mut sums = [0i32; 4];
        for coins in 0..16u64 {
            let signs = teams(&first, &second, coins);
            sums.iter_mut().zip(signs).for_each(|(sum, sign)| *sum += sign);
        }
        assert_eq!(sums, [0; 4]);
    }
}
