//! What a shop of any size needs: machines, memory, network, time. From constants that were measured, and from a
//! simulation of what bad luck does to it.
//!
//! - `measured`: the constants, each with its record
//! - [`store`]: what one store needs
//! - [`fleet`]: how many machines there are, and what goes between them
//! - [`simulation`]: arrivals, failures and lag, second by second

pub mod fleet;
mod measured;
pub mod simulation;
pub mod store;

pub use fleet::{Demand, Fleet, Luck, Machine};
pub use simulation::{Simulated, Simulation};
pub use store::{Shop, StoreNeeds};
