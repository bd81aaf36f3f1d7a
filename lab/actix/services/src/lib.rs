//! What the Actix services of the lab share: tables, set-up, read endpoints and the reset. Nothing of it is guarded.
//!
//! Rule: the unsigned routes that change anything answer loopback alone.

mod desk;
mod serving;
mod signature;
pub mod wanted;

pub use desk::Desk;
pub use serving::serve;
pub use signature::{is_signed, signature_of};

use std::fmt;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, ResponseError};
use serde::Serialize;
use serde_json::json;

/// An answer that is an error, with its reason in one line.
#[derive(Debug)]
pub struct Problem(StatusCode, String);

impl Problem {
    /// An error of that status.
    #[must_use]
    pub fn new(status: StatusCode, reason: &str) -> Self {
        Self(status, reason.into())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.1)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.0
    }

    fn error_response(&self) -> HttpResponse {
        HttpResponse::build(self.0).json(json!({"error": self.1}))
    }
}

impl From<sqlx::Error> for Problem {
    fn from(error: sqlx::Error) -> Self {
        log::error!("{error}");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "the database refuses")
    }
}

/// 200 with a JSON document.
pub fn ok(document: impl Serialize) -> HttpResponse {
    HttpResponse::Ok().json(document)
}

/// 409: there is none left.
#[must_use]
pub fn none_left() -> HttpResponse {
    HttpResponse::Conflict().json(json!({"error": "none left"}))
}

/// 404: it does not exist.
#[must_use]
pub fn not_found() -> HttpResponse {
    HttpResponse::NotFound().json(json!({"error": "no such thing"}))
}

/// Whether a request comes from this machine.
///
/// # Errors
///
/// It does not: 403.
pub fn require_loopback(request: &HttpRequest) -> Result<(), Problem> {
    match request.peer_addr() {
        Some(peer) if peer.ip().is_loopback() => Ok(()),
        _ => Err(Problem::new(StatusCode::FORBIDDEN, "loopback only")),
    }
}
