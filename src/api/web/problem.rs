//! A refusal as problem details (RFC 9457), for callers that cannot read those of gRPC.

use std::collections::BTreeMap;

use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;
use serde::Serialize;
use tonic::body::Body;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::api::access::audited::code_name;

/// The type of problem details.
pub(super) const PROBLEM: &str = "application/problem+json";
/// Where the page explains the reasons.
const TYPE: &str = "/#";

/// Problem details.
#[derive(Debug, Serialize)]
struct Problem {
    /// The reason, explained on the server's page.
    r#type: String,
    title: &'static str,
    status: u16,
    detail: String,
    /// The code of gRPC, as "INVALID_ARGUMENT".
    code: String,
    /// The stable reason.
    reason: String,
    /// The fields that break a limit.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldError>,
    /// What else belongs to the reason: every check of a refused model.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    metadata: BTreeMap<String, String>,
}

#[derive(Debug, Serialize)]
struct FieldError {
    /// The path of the field, as `events[3].user_id`.
    field: String,
    detail: String,
}

/// The answer in JSON to a call that ended with this status.
pub(super) fn answer(status: &Status) -> Response<Body> {
    answer_as(status, http_status(status.code()))
}

/// The same under a status of HTTP that says more than the code of gRPC.
pub(super) fn answer_as(status: &Status, http: StatusCode) -> Response<Body> {
    let details = status.get_error_details();
    let code = code_name(status.code());
    let info = details.error_info();
    let reason = info.map_or_else(|| code.clone(), |info| info.reason.clone());
    let violations = details.bad_request().map(|request| &request.field_violations);
    let errors = violations.into_iter().flatten().map(|violation| FieldError {
        field: violation.field.clone(),
        detail: violation.description.clone(),
    });

    let problem = Problem {
        r#type: format!("{TYPE}{reason}"),
        title: status.code().description(),
        status: http.as_u16(),
        detail: status.message().to_owned(),
        code,
        reason,
        errors: errors.collect(),
        metadata: info.map(|info| info.metadata.clone().into_iter().collect()).unwrap_or_default(),
    };

    // Texts and numbers always have a form in JSON.
    let json = serde_json::to_vec(&problem).unwrap_or_default();
    let mut answer = Response::new(Body::new(Full::from(json)));
    *answer.status_mut() = http;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM));
    if http == StatusCode::UNAUTHORIZED {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    let wait = details.retry_info().and_then(|retry| retry.retry_delay);
    if let Some(wait) = wait {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    answer
}

/// The status in HTTP of a code, as `google.rpc.Code` gives it
/// (<https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto>).
fn http_status(code: Code) -> StatusCode {
    match code {
        Code::Ok => StatusCode::OK,
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => {
            StatusCode::BAD_REQUEST
        }
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::AlreadyExists | Code::Aborted => StatusCode::CONFLICT,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        // HTTP has no standard status for a cancelled request; 499 is widely used.
        Code::Cancelled => StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST),
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::Unknown | Code::Internal | Code::DataLoss => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http_body_util::BodyExt;
    use serde_json::{Value, json};

    use super::*;
    use crate::api::wire::status;
    use crate::domain::Violation;

    async fn read(status: Status) -> (u16, http::HeaderMap, Value) {
        let (parts, body) = answer(&status).into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        (parts.status.as_u16(), parts.headers, serde_json::from_slice(&bytes).unwrap())
    }

    #[tokio::test]
    async fn a_refusal_names_its_fields() {
        let violation = Violation::new("limit", "must be 1 to 500, was 501");
        let (code, headers, problem) = read(status::from_error(violation.into())).await;
        assert_eq!((code, headers["content-type"].as_bytes()), (400, PROBLEM.as_bytes()));
        assert_eq!(
            problem,
            json!({
                "type": "/#INVALID_ARGUMENT",
                "title": "Client specified an invalid argument",
                "status": 400,
                "detail": "limit: must be 1 to 500, was 501",
                "code": "INVALID_ARGUMENT",
                "reason": "INVALID_ARGUMENT",
                "errors": [{"field": "limit", "detail": "must be 1 to 500, was 501"}],
            })
        );
    }

    #[tokio::test]
    async fn a_caller_learns_when_to_come_back_and_what_is_missing() {
        let wait = Duration::from_millis(1_200);
        let (code, headers, problem) = read(status::retry_later("QUOTA", "slower", wait)).await;
        assert_eq!((code, headers["retry-after"].to_str().unwrap()), (429, "2"));
        assert_eq!(problem["reason"], "QUOTA");

        let (code, headers, _) = read(Status::unauthenticated("no key")).await;
        assert_eq!((code, headers["www-authenticate"].to_str().unwrap()), (401, "Bearer"));
    }
}
