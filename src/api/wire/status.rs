//! The engine's errors as gRPC statuses with `google.rpc` details: a BadRequest that names the
//! field, and an ErrorInfo with a stable reason; in its metadata all checks of a refused model, or the shard of a user.

use std::collections::HashMap;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::domain::{Error, Verdict};

/// Domain of every ErrorInfo.
const DOMAIN: &str = "qianmian";
/// Time after which a caller may try again that waits for topics.
const TOPICS_WAIT: Duration = Duration::from_secs(2);

/// The status of an error; every kind has its own code and reason.
pub fn from_error(error: Error) -> Status {
    let (code, reason) = match &error {
        Error::Invalid(_) => (Code::InvalidArgument, "INVALID_ARGUMENT"),
        Error::NotFound { .. } => (Code::NotFound, "NOT_FOUND"),
        Error::AlreadyExists { .. } => (Code::AlreadyExists, "ALREADY_EXISTS"),
        Error::OtherShard { .. } => (Code::FailedPrecondition, "OTHER_SHARD"),
        Error::Conflict(_) => (Code::Aborted, "CONFLICT"),
        Error::NotReady(_) => (Code::FailedPrecondition, "NOT_READY"),
        Error::Overloaded(_) => (Code::ResourceExhausted, "OVERLOADED"),
        Error::Full(_) => (Code::ResourceExhausted, "STORE_FULL"),
        Error::SeatLost => (Code::Unavailable, "SEAT_LOST"),
        Error::TopicsAway(_) => (Code::Unavailable, "TOPICS_AWAY"),
        Error::ShuttingDown => (Code::Unavailable, "SHUTTING_DOWN"),
        Error::Storage(_) => (Code::Unavailable, "STORAGE"),
        Error::Import(_) => (Code::Internal, "IMPORT"),
        Error::HeldBack(_) => (Code::FailedPrecondition, "HELD_BACK"),
        Error::Training(_) => (Code::Internal, "TRAINING"),
        Error::Refused(_) => (Code::FailedPrecondition, "MODEL_REFUSED"),
    };

    let mut details = ErrorDetails::new();
    let mut metadata = HashMap::new();
    if let Error::Refused(checks) = &error {
        let told = checks.iter().map(|check| (check.name.clone(), check.to_string()));
        metadata.extend(told);
        for check in checks.iter().filter(|check| check.verdict == Verdict::Failed) {
            details.add_precondition_failure_violation("CHECK", &check.name, check.to_string());
        }
    }

    if let Error::OtherShard { of, here, .. } = &error {
        metadata.insert("shard".to_owned(), of.to_string());
        metadata.insert("shards".to_owned(), here.count().to_string());
    }

    details.set_error_info(reason, DOMAIN, metadata);
    if matches!(error, Error::TopicsAway(_)) {
        details.set_retry_info(Some(TOPICS_WAIT));
    }
    if let Error::Invalid(violation) = &error {
        details.add_bad_request_violation(&violation.field, &violation.message);
    }
    Status::with_error_details(code, error.to_string(), details)
}

/// The refusal of a caller that may not do what it asks for; `reason` is stable.
pub fn denied(code: Code, reason: &str, message: impl Into<String>) -> Status {
    let mut details = ErrorDetails::new();
    details.set_error_info(reason, DOMAIN, HashMap::new());
    Status::with_error_details(code, message, details)
}

/// RESOURCE_EXHAUSTED with the time after which the caller may try again; `reason` is stable.
pub fn retry_later(reason: &str, message: impl Into<String>, wait: Duration) -> Status {
    let mut details = ErrorDetails::new();
    details.set_error_info(reason, DOMAIN, HashMap::new());
    details.set_retry_info(Some(wait));
    Status::with_error_details(Code::ResourceExhausted, message, details)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Violation;

    #[test]
    fn a_violation_travels_as_details() {
        let status = from_error(Violation::new("limit", "must be 1 to 500, was 501").into());
        assert_eq!(status.code(), Code::InvalidArgument);
        let details = status.get_error_details();
        let violation = &details.bad_request().unwrap().field_violations[0];
        assert_eq!(violation.field, "limit");
        assert_eq!(details.error_info().unwrap().reason, "INVALID_ARGUMENT");
        let status = from_error(Error::NotFound { kind: "item", id: "x".into() });
        assert_eq!((status.code(), status.message()), (Code::NotFound, "item \"x\" is not known"));
    }
}
