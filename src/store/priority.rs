//! The priority and the pace of work that may wait.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Niceness relative to threads that answer.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 15;

/// Lowers the priority of the calling thread, where the system supports it.
pub fn step_back() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, NICENESS) {
        tracing::warn!(%error, "background work has the priority of requests");
    }
}

/// Time that work goes on before it rests.
const TURN: Duration = Duration::from_millis(1);
/// How much longer it rests than it worked.
const REST: u32 = 9;

/// Rests between turns of work, so that it takes a tenth of one core and never long at once, however
/// busy the machine is. Clones share the turn.
#[derive(Debug, Clone)]
pub struct Pace {
    /// When the turn began; none: it never rests.
    began: Option<Rc<Cell<Instant>>>,
}

impl Pace {
    /// Rests.
    pub fn gentle() -> Self {
        Self { began: Some(Rc::new(Cell::new(Instant::now()))) }
    }

    /// Never rests.
    pub fn fast() -> Self {
        Self { began: None }
    }

    /// Rests where the turn is over. Call it often.
    pub fn rest(&self) {
        let Some(began) = &self.began else { return };
        let worked = began.get().elapsed();
        if worked >= TURN {
            std::thread::sleep(worked * REST);
            began.set(Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_rests_nine_times_as_long_as_it_worked() {
        let pace = Pace::gentle();
        let began = Instant::now();
        std::thread::sleep(Duration::from_millis(3));
        pace.rest();
        assert!(began.elapsed() >= Duration::from_millis(30), "{:?}", began.elapsed());
        Pace::fast().rest();
    }
}
