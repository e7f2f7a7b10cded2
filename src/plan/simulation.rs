//! Arrivals, failures and lag of one store and those that follow it, second by second, as discrete events.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, Exp, Poisson};
use serde::Serialize;

/// Seconds of a day.
const DAY: u64 = 86_400;

/// What is simulated.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Simulation {
    /// Days.
    pub days: u64,
    /// Seed of everything that is drawn.
    pub seed: u64,
    /// Events a second, on average over a day.
    pub events_per_second: f64,
    /// The busiest second of a day over the average one.
    pub peak: f64,
    /// Events a second that the server that writes can take in.
    pub takes_in: f64,
    /// Events a second that a follower can apply.
    pub applies: f64,
    /// Servers that follow.
    pub followers: usize,
    /// Mean time between two failures of one server, in days.
    pub days_between_failures: f64,
    /// Seconds until another server takes the place of one that is lost, without opening its stores.
    pub lease_seconds: f64,
    /// Seconds that a server needs to open its stores.
    pub opening_seconds: f64,
    /// Seconds until what is taken in reaches a follower that is not behind.
    pub delay_seconds: f64,
}

/// Its outcome.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Simulated {
    /// Events that arrived.
    pub events: u64,
    /// Failures of servers.
    pub failures: u64,
    /// Followers that were simulated: at most 16, as more fare alike.
    pub followers: usize,
    /// Seconds in which no server took in events; they waited in their topics meanwhile.
    pub seconds_without_writer: f64,
    /// Seconds until an event was taken in: half of them, 99 of 100, and the slowest.
    pub taken_in: Quantiles,
    /// Seconds until a follower had it.
    pub followed: Quantiles,
    /// Mean number of followers that answered.
    pub answering: f64,
}

/// Quantiles of a time, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Quantiles {
    /// Half are quicker.
    pub p50: f64,
    /// 99 of 100 are quicker.
    pub p99: f64,
    /// The slowest.
    pub max: f64,
}

/// What happens, in the order of time, then of kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    WriterFails,
    WriterIsBack,
    FollowerFails(usize),
    FollowerIsBack(usize),
    /// One second of arrivals.
    Second,
}

/// Servers at one moment.
struct World {
    of: Simulation,
    rng: StdRng,
    queue: BinaryHeap<Reverse<(u64, Event)>>,
    /// Until when no server takes in events.
    down_until: u64,
    /// Events that wait to be taken in.
    waiting: f64,
    /// By follower: events that it lacks, and until when it is down.
    behind: Vec<(f64, u64)>,
    taken_in: Histogram,
    followed: Histogram,
    done: Simulated,
}

impl Simulation {
    /// Runs it; the same settings give the same outcome.
    pub fn run(&self) -> Simulated {
        let none = Quantiles { p50: 0.0, p99: 0.0, max: 0.0 };
        let mut world = World {
            of: *self,
            rng: StdRng::seed_from_u64(self.seed),
            queue: BinaryHeap::from([Reverse((0, Event::Second))]),
            down_until: 0,
            waiting: 0.0,
            behind: vec![(0.0, 0); self.followers],
            taken_in: Histogram::default(),
            followed: Histogram::default(),
            done: Simulated {
                events: 0,
                failures: 0,
                followers: self.followers,
                seconds_without_writer: 0.0,
                taken_in: none,
                followed: none,
                answering: 0.0,
            },
        };
        world.fail_later(0, Event::WriterFails);
        (0..self.followers)
            .for_each(|follower| world.fail_later(0, Event::FollowerFails(follower)));

        let end = self.days * DAY;
        while let Some(Reverse((now, event))) = world.queue.pop() {
            if now >= end {
                break;
            }
            world.happens(now, event);
        }

        let World { mut done, taken_in, followed, .. } = world;
        done.taken_in = taken_in.quantiles();
        done.followed = followed.quantiles();
        done.answering /= end as f64;
        done
    }
}

impl World {
    fn at(&mut self, time: u64, event: Event) {
        self.queue.push(Reverse((time, event)));
    }

    /// Draws when a server fails next.
    fn fail_later(&mut self, now: u64, event: Event) {
        let mean = self.of.days_between_failures * DAY as f64;
        if let Ok(times) = Exp::new(1.0 / mean) {
            let after = times.sample(&mut self.rng).ceil() as u64;
            self.at(now.saturating_add(after.max(1)), event);
        }
    }

    fn happens(&mut self, now: u64, event: Event) {
        let back = |seconds: f64| now + seconds.ceil().max(1.0) as u64;

        match event {
            Event::Second => {
                self.second(now);
                self.at(now + 1, Event::Second);
            }
            Event::WriterFails => {
                self.done.failures += 1;
                let again = back(self.of.lease_seconds + self.of.opening_seconds);
                self.down_until = again;
                self.at(again, Event::WriterIsBack);
            }
            Event::WriterIsBack => self.fail_later(now, Event::WriterFails),
            Event::FollowerFails(follower) => {
                self.done.failures += 1;
                let again = back(self.of.opening_seconds);
                self.behind[follower].1 = again;
                self.at(again, Event::FollowerIsBack(follower));
            }
            Event::FollowerIsBack(follower) => {
                self.fail_later(now, Event::FollowerFails(follower));
            }
        }
    }

    /// One second: events arrive, are taken in, and are followed.
    fn second(&mut self, now: u64) {
        let arrived = self.arrivals(now);
        self.done.events += arrived as u64;
        self.waiting += arrived;
        let down = self.down_until.saturating_sub(now) as f64;
        let wait = down + self.waiting / self.of.takes_in;
        self.taken_in.add(wait, arrived);

        let room = if down > 0.0 { 0.0 } else { self.of.takes_in };
        if down > 0.0 {
            self.done.seconds_without_writer += 1.0;
        }
        let taken = self.waiting.min(room);
        self.waiting -= taken;
        for (behind, down_until) in &mut self.behind {
            *behind += taken;
            let down = down_until.saturating_sub(now) as f64;
            let lag = wait + down + self.of.delay_seconds + *behind / self.of.applies;
            self.followed.add(lag, arrived);
            if down == 0.0 {
                *behind -= behind.min(self.of.applies);
                self.done.answering += 1.0;
            }
        }
    }

    /// Draws the events of one second; they come and go with the hour, and are fewest at midnight.
    fn arrivals(&mut self, now: u64) -> f64 {
        let hour = (now % DAY) as f64 / DAY as f64 * std::f64::consts::TAU;
        let swing = (self.of.peak - 1.0).clamp(0.0, 1.0);
        let mean = self.of.events_per_second * (1.0 - swing * hour.cos());
        // Of many, the number hardly differs from the mean.
        if mean > 1e6 {
            return (mean + mean.sqrt() * (self.rng.random::<f64>() * 2.0 - 1.0)).round();
        }
        Poisson::new(mean).map_or(0.0, |events| events.sample(&mut self.rng))
    }
}

/// Times, by weight, to a hundredth of each.
#[derive(Default)]
struct Histogram {
    /// By the logarithm of the time.
    buckets: Vec<f64>,
    max: f64,
}

impl Histogram {
    /// The shortest time that is counted, in seconds.
    const MIN: f64 = 1e-3;
    /// Each bucket is longer by this factor.
    const STEP: f64 = 1.01;

    fn add(&mut self, seconds: f64, weight: f64) {
        let bucket = ((seconds.max(Self::MIN) / Self::MIN).ln() / Self::STEP.ln()) as usize;
        if bucket >= self.buckets.len() {
            self.buckets.resize(bucket + 1, 0.0);
        }
        self.buckets[bucket] += weight;
        if weight > 0.0 {
            self.max = self.max.max(seconds);
        }
    }

    fn quantiles(&self) -> Quantiles {
        let all: f64 = self.buckets.iter().sum();
        let at = |share: f64| {
            let mut seen = 0.0;
            let reached = self.buckets.iter().position(|weight| {
                seen += weight;
                seen >= share * all
            });
            reached.map_or(0.0, |bucket| Self::MIN * Self::STEP.powi(bucket as i32)).min(self.max)
        };
        Quantiles { p50: at(0.5), p99: at(0.99), max: self.max }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calm() -> Simulation {
        Simulation {
            days: 2,
            seed: 1,
            events_per_second: 1_000.0,
            peak: 1.5,
            takes_in: 100_000.0,
            applies: 500_000.0,
            followers: 3,
            days_between_failures: 1e9,
            lease_seconds: 10.0,
            opening_seconds: 30.0,
            delay_seconds: 0.5,
        }
    }

    #[test]
    fn without_failures_events_wait_for_nothing() {
        let done = calm().run();
        assert_eq!((done.failures, done.seconds_without_writer), (0, 0.0));
        let mean = done.events as f64 / (2.0 * DAY as f64);
        assert!((mean - 1_000.0).abs() < 1.0, "{mean}");
        assert!(done.taken_in.max < 0.1 && done.followed.max < 0.7, "{done:?}");
        assert_eq!(done.answering, 3.0);
        assert_eq!(done, calm().run(), "the same seed");
        assert_ne!(done, Simulation { seed: 2, ..calm() }.run());
    }

    #[test]
    fn a_lost_writer_costs_a_lease_and_an_opening() {
        let done =
            Simulation { days: 20, days_between_failures: 2.0, followers: 0, ..calm() }.run();
        let each = done.seconds_without_writer / done.failures as f64;
        assert!(done.failures > 3 && (39.0..=40.0).contains(&each), "{done:?}");
        assert!((39.0..=41.0).contains(&done.taken_in.max), "{done:?}");
        assert!(done.taken_in.p50 < 0.1);
    }

    #[test]
    fn more_than_can_be_taken_in_waits_ever_longer() {
        let done = Simulation { takes_in: 900.0, peak: 1.0, ..calm() }.run();
        // A tenth of two days' events is left, which takes a ninth of the time that it took to arrive.
        let expected = 2.0 * DAY as f64 * 100.0 / 900.0;
        assert!((done.taken_in.max / expected - 1.0).abs() < 0.01, "{done:?}, {expected}");
    }

    #[test]
    fn a_follower_that_is_down_answers_less_and_catches_up() {
        let done = Simulation { days: 40, days_between_failures: 1.0, ..calm() }.run();
        assert!(done.answering < 3.0 && done.answering > 2.9, "{done:?}");
        assert!(done.followed.max >= 30.0 && done.followed.p50 < 1.0, "{done:?}");
    }
}
