//! Topics of a build without Kafka.

use std::sync::Arc;

use super::options::KafkaOptions;
use crate::host::Host;

/// What takes in topics: there is none.
#[derive(Debug)]
pub enum Topics {}

impl Topics {
    /// Refuses.
    ///
    /// # Errors
    /// Always: this build has no Kafka.
    pub fn start(options: &KafkaOptions, _: Arc<Host>) -> Result<Self, String> {
        options.check().and(Err("this build has no Kafka".to_owned()))
    }

    /// Refuses.
    ///
    /// # Errors
    /// Always: this build has no Kafka.
    pub fn look(options: &KafkaOptions) -> Result<usize, String> {
        options.check().and(Err("this build has no Kafka".to_owned()))
    }

    /// There is nothing to stop.
    pub async fn stop(self) {
        match self {}
    }
}
