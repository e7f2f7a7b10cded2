//! A synthetic store of any size with known behaviour: a few users buy often, a few items sell a
//! lot, every user has a few tastes, tastes have their season, and users buy again what they
//! bought before.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, Poisson, Zipf};

use qianmian::domain::DAY_MS;

/// Days that the log covers.
const DAYS: u64 = 365;
/// First day: 2024-01-01, in days since 1970.
const FIRST_DAY: i64 = 19_723;
/// Mean number of events in a basket.
const BASKET: f64 = 4.0;
/// Share of events that repeat one of the user's last purchases.
const REPEATS: f64 = 0.25;
/// Share of events outside the user's tastes.
const ELSEWHERE: f64 = 0.1;
/// Exponents of the Zipf distributions of items and users.
const PRODUCTS_ZIPF: f64 = 0.9;
const USERS_ZIPF: f64 = 0.6;
/// Effect of a taste's season on its sales, 0 to 1.
const SEASON: f64 = 0.7;
/// Purchases remembered of each user.
const MEMORY: usize = 8;
/// Cumulative probabilities of a user's tastes.
const TASTES: [f64; 3] = [0.6, 0.85, 1.0];

/// The parameters of a store.
#[derive(Debug, Clone, Copy)]
pub(super) struct Synth {
    /// Users.
    pub users: u64,
    /// Items.
    pub items: u64,
    /// Purchases.
    pub events: u64,
    /// The same numbers and seed give the same log.
    pub seed: u64,
}

/// A purchase.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Purchase {
    /// The user, 0 to users − 1.
    pub user: u64,
    /// The item, 0 to items − 1.
    pub item: u64,
    /// The basket, counted from 1.
    pub basket: u64,
    /// Milliseconds since 1970.
    pub time_ms: i64,
    /// How many.
    pub quantity: u32,
    /// Price of one, in hundredths.
    pub price: u32,
}

impl Synth {
    /// Number of groups of items that are bought together.
    fn tastes(&self) -> u64 {
        ((self.items as f64).sqrt() / 2.0).clamp(1.0, 2_000.0) as u64
    }

    /// Passes the purchases to `take`, in order of time; stops where it fails.
    ///
    /// # Errors
    /// What `take` returns.
    pub(super) fn write<E>(
        &self,
        mut take: impl FnMut(&Purchase) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut rng = StdRng::seed_from_u64(self.seed);
        let tastes = self.tastes();
        let zipf = |n: u64, exponent| Zipf::new(n.max(1) as f64, exponent).ok();
        let ranks = zipf(self.items.div_ceil(tastes), PRODUCTS_ZIPF);
        let user_zipf = zipf(self.users, USERS_ZIPF);
        let sizes = Poisson::new(BASKET - 1.0).ok();
        let draw = |from: &Option<Zipf<f64>>, rng: &mut StdRng| {
            from.as_ref().map_or(0, |zipf| zipf.sample(rng) as u64 - 1)
        };

        let mut last: Vec<[u32; MEMORY]> = vec![[u32::MAX; MEMORY]; self.users as usize];
        let mut written = 0;
        let mut basket = 0;
        while written < self.events {
            basket += 1;
            // Time passes evenly: random hours within a day would break the order.
            let time_ms = FIRST_DAY * DAY_MS
                + (written as f64 / self.events as f64 * (DAYS * DAY_MS as u64) as f64) as i64;

            let season = std::f64::consts::TAU * written as f64 / self.events as f64;
            let user = scattered(draw(&user_zipf, &mut rng), self.users);
            let size = 1 + sizes.as_ref().map_or(0.0, |s| s.sample(&mut rng)) as u64;
            for _ in 0..size.min(self.events - written) {
                let memory = &mut last[user as usize];
                let again = memory[rng.random_range(0..MEMORY)];
                let item = if again != u32::MAX && rng.random_bool(REPEATS) {
                    u64::from(again)
                } else {
                    let taste = self.taste(user, season, &mut rng);
                    (draw(&ranks, &mut rng) * tastes + taste).min(self.items - 1)
                };

                memory[rng.random_range(0..MEMORY)] = item as u32;
                let quantity = 1 + u32::from(rng.random_bool(0.2));
                let price = 100 + (mixed(item) % 9_900) as u32;
                take(&Purchase { user, item, basket, time_ms, quantity, price })?;
                written += 1;
            }
        }
        Ok(())
    }

    /// The group of items that a user turns to: mostly one of their own, more often one in season.
    fn taste(&self, user: u64, season: f64, rng: &mut StdRng) -> u64 {
        let tastes = self.tastes();
        loop {
            let taste = if rng.random_bool(ELSEWHERE) {
                rng.random_range(0..tastes)
            } else {
                let which = rng.random::<f64>();
                let place = TASTES.iter().position(|&share| which < share).unwrap_or(0);
                mixed(user * TASTES.len() as u64 + place as u64) % tastes
            };
            let peak = std::f64::consts::TAU * (mixed(taste) % 365) as f64 / 365.0;
            if rng.random_bool((1.0 + SEASON * (season - peak).cos()) / (1.0 + SEASON)) {
                return taste;
            }
        }
    }
}

/// A number that looks random (the finaliser of SplitMix64: Steele, Lea and Flood, 2014).
fn mixed(x: u64) -> u64 {
    let x = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

/// The user of a rank: frequent users are spread over all ids.
fn scattered(rank: u64, users: u64) -> u64 {
    // A step without a common factor visits every id once.
    let mut step = (users as f64 * 0.618) as u64 | 1;
    while gcd(step, users) != 1 {
        step += 2;
    }
    (u128::from(rank) * u128::from(step) % u128::from(users.max(1))) as u64
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};
    use std::convert::Infallible;

    use super::*;

    fn log(seed: u64) -> Vec<Purchase> {
        let mut log = Vec::new();
        let synth = Synth { users: 500, items: 2_000, events: 20_000, seed };
        let taken: Result<(), Infallible> = synth.write(|purchase| {
            log.push(*purchase);
            Ok(())
        });
        assert!(taken.is_ok());
        log
    }

    #[test]
    fn has_the_shape_it_promises() {
        let log = log(1);
        assert_eq!(log.len(), 20_000);
        assert_eq!(log, self::log(1), "seeded");
        assert_ne!(log, self::log(2));
        assert!(log.is_sorted_by_key(|p| p.time_ms));
        assert!(log.iter().all(|p| p.user < 500 && p.item < 2_000));
        let mut sales: HashMap<u64, usize> = HashMap::new();
        log.iter().for_each(|p| *sales.entry(p.item).or_default() += 1);
        let mut sales: Vec<usize> = sales.into_values().collect();
        sales.sort_unstable_by(|a, b| b.cmp(a));
        assert!(sales[..20].iter().sum::<usize>() * 20 > log.len(), "a few sell a lot");

        let pairs: HashSet<(u64, u64)> = log.iter().map(|p| (p.user, p.item)).collect();
        let repeats = 1.0 - pairs.len() as f64 / log.len() as f64;
        assert!((0.15..0.7).contains(&repeats), "{repeats}");
        let users: HashSet<u64> = log.iter().map(|p| p.user).collect();
        assert!(users.len() > 450, "all users come: {}", users.len());
    }
}
