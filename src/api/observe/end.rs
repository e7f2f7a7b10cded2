//! How a request ended, as far as an operator may know.

use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::api::access::audited::code_name;
use crate::api::wire::entries;

/// How a request ended.
#[derive(Debug)]
pub(super) struct End {
    pub(super) code: Code,
    /// The reason in its status; empty for none.
    pub(super) reason: String,
    /// The field that was refused; empty for none. Messages are left out: they repeat what was sent.
    pub(super) field: String,
}

impl End {
    /// The end of a request that succeeded.
    pub(super) fn well() -> Self {
        Self { code: Code::Ok, reason: String::new(), field: String::new() }
    }

    /// The end of a request with this status.
    pub(super) fn of(status: &Status) -> Self {
        let details = status.get_error_details();
        let reason = details.error_info().map(|info| info.reason.clone());
        let request = details.bad_request();
        let field = request.and_then(|bad| bad.field_violations.first());
        Self {
            code: status.code(),
            reason: reason.unwrap_or_else(|| code_name(status.code())),
            field: field.map_or_else(String::new, |violation| known_path(&violation.field)),
        }
    }
}

/// A field's path as far as the protocol names it: further parts are what a caller sent.
fn known_path(path: &str) -> String {
    let is_known = |part: &&str| entries::is_field(part.split('[').next().unwrap_or(part));
    path.split('.').take_while(is_known).collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_caller_sent_is_no_part_of_a_path() {
        assert_eq!(known_path("events[3].user_id"), "events[3].user_id");
        assert_eq!(known_path("events[3].userId"), "events[3].userId");
        assert_eq!(known_path("items[0].attributes.alice@example.org"), "items[0].attributes");
        assert_eq!(known_path("alice@example.org"), "");
    }
}
