//! Topics of Kafka, from which the server that writes takes in what happens in the shop.
//!
//! The server that writes reads all partitions, and is what orders them: its log. Where reading goes on is a record
//! of that log, in one block with what was read, so both are there or neither: a message is taken in once, whatever
//! is killed, and whichever server writes next goes on from its copy of the log.
//!
//! - [`options`]: the table `kafka` of the configuration
//! - `message`: what a message says; `steps`: messages as writes
//! - `consumer`: reads topics; `dead_letters`: takes what is refused; `kept`: how long brokers keep messages
//! - `intake`: takes in what is read; `absent`: a build without Kafka

pub mod options;

#[cfg(not(feature = "kafka"))]
mod absent;

#[cfg(feature = "kafka")]
mod consumer;
#[cfg(feature = "kafka")]
mod dead_letters;
#[cfg(feature = "kafka")]
mod intake;
#[cfg(feature = "kafka")]
mod kept;
#[cfg(feature = "kafka")]
mod message;
#[cfg(feature = "kafka")]
mod steps;

#[cfg(not(feature = "kafka"))]
pub use absent::Topics;
#[cfg(feature = "kafka")]
pub use intake::Topics;
pub use options::KafkaOptions;
