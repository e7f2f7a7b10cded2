//! How a request ended, as far as an operator may know.

use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::api::access::audited::code_name;

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
            field: field.map_or_else(String::new, |violation| violation.field.clone()),
        }
    }
}
