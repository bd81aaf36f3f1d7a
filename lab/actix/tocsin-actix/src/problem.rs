//! The guard's own answers, as problem details (RFC 9457), in the words of `tocsin.guard`.
//!
//! Rule: an answer to somebody who has not proved who they are says nothing about why. An answer that a retry can
//! change carries Retry-After.

use actix_web::http::StatusCode;
use serde_json::Value;

use crate::answer::Answer;

/// RFC 9110 section 15.5.2: a 401 must name a challenge.
pub(crate) fn unauthorized() -> Answer {
    problem(401, "Unauthorized", "The request is not validly signed.", Some(("www-authenticate", "HMAC")))
}

pub(crate) fn mismatch() -> Answer {
    let detail = "The idempotency key was used before, for another request. Use a new one, or send the same request.";
    problem(422, "Unprocessable Content", detail, None)
}

pub(crate) fn in_progress() -> Answer {
    let detail = "A request with this idempotency key is in progress. Send it again later.";
    problem(409, "Conflict", detail, AGAIN)
}

pub(crate) fn crowded() -> Answer {
    let detail = "Too many requests with this idempotency key are waiting. Send it again later.";
    problem(409, "Conflict", detail, AGAIN)
}

pub(crate) fn unavailable() -> Answer {
    let detail =
        "The request cannot be applied at the moment, and nothing is known to have changed. Send it again later.";
    problem(503, "Service Unavailable", detail, AGAIN)
}

pub(crate) fn answer_unknown() -> Answer {
    let detail = "The request was applied, and its answer is not known. It is not applied again.";
    problem(500, INTERNAL, detail, None)
}

pub(crate) fn broken() -> Answer {
    problem(500, INTERNAL, "The request could not be applied as a whole.", None)
}

pub(crate) fn answer_too_large(most_bytes: usize) -> Answer {
    let detail = format!("The answer is longer than max_answer_bytes = {most_bytes}, so the request was not applied.");
    problem(500, INTERNAL, &detail, None)
}

pub(crate) fn content_too_large(most_bytes: usize) -> Answer {
    let detail = format!("The body may have {most_bytes} bytes at most.");
    problem(413, "Content Too Large", &detail, Some(("connection", "close")))
}

/// 400, with its first letter in upper case and a full stop.
pub(crate) fn bad_request(detail: &str) -> Answer {
    let mut characters = detail.chars();
    let first: String = characters.next().into_iter().flat_map(char::to_uppercase).collect();
    problem(400, "Bad Request", &format!("{first}{}.", characters.as_str()), None)
}

const INTERNAL: &str = "Internal Server Error";
/// What is waited for takes milliseconds, and Retry-After has no smaller unit above zero.
const AGAIN: Option<(&str, &str)> = Some(("retry-after", "1"));

fn problem(status: u16, title: &str, detail: &str, more: Option<(&str, &str)>) -> Answer {
    let detail = Value::from(detail);
    let document = format!(r#"{{"type": "about:blank", "title": "{title}", "status": {status}, "detail": {detail}}}"#);
    let mut headers = vec![("content-type", "application/problem+json"), ("cache-control", "no-store")];
    headers.extend(more);
    let headers = headers.into_iter().map(|(name, value)| (name.into(), value.into()));
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    Answer { status, headers: headers.collect(), body: document.into() }
}
