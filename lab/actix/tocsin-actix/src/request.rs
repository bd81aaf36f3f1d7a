//! The extractor: a request from its first octet until it is verified and has a key.
//!
//! Rule: nothing is parsed, looked up or written before the signature has passed.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::{SystemTime, UNIX_EPOCH};

use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::http::header::CONTENT_LENGTH;
use actix_web::web::{self, Bytes};
use actix_web::{FromRequest, HttpRequest, HttpResponse, ResponseError};
use serde::de::DeserializeOwned;

use crate::answer::Answer;
use crate::claim::Claim;
use crate::guard::Operation;
use crate::message::Message;
use crate::problem;
use crate::verify::{Verified, verify};

/// An extractor: a request whose signature, time and size have been checked. Nothing of its body has been parsed.
///
/// The resource carries its [`Operation`] in its `app_data`. What the extractor refuses is answered as `tocsin.guard`
/// answers it.
pub struct Guarded {
    pub(crate) operation: Operation,
    message: Message,
    verified: Verified,
    pub(crate) claim: Claim,
}

/// The answer to a request that is refused before its handler runs; never remembered.
#[derive(Debug)]
pub struct Refused(Box<Answer>);

impl fmt::Display for Refused {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "refused with {}", self.0.status)
    }
}

impl ResponseError for Refused {
    fn status_code(&self) -> StatusCode {
        self.0.status
    }

    fn error_response(&self) -> HttpResponse {
        self.0.as_ref().clone().into_response()
    }
}

impl From<Answer> for Refused {
    fn from(answer: Answer) -> Self {
        Self(Box::new(answer))
    }
}

impl FromRequest for Guarded {
    type Error = Refused;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Refused>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, payload) = (request.clone(), payload.take());
        Box::pin(async move {
            let Some(operation) = request.app_data::<Operation>().cloned() else {
                log::error!("{} carries no tocsin_actix::Operation in its app_data", request.path());
                return Err(problem::broken().into());
            };
            let body = read(&request, payload, operation.0.limits.max_body_bytes).await?;
            Self::checked(operation, Message::received(&request, body), now_unix_ms())
        })
    }
}

impl Guarded {
    fn checked(operation: Operation, message: Message, now_unix_ms: i64) -> Result<Self, Refused> {
        let declared = &operation.0;
        crash_point!("VERIFICATION");
        let verified = verify(&message, &declared.scheme, &declared.keys, now_unix_ms).map_err(|rejected| {
            log::info!("{}: rejected: {rejected}", declared.name);
            problem::unauthorized()
        })?;
        let claim = declared.claim(&message, &verified, now_unix_ms).map_err(|reason| {
            log::info!("{}: refused: {reason}", declared.name);
            problem::bad_request(&reason)
        })?;
        Ok(Self { operation, message, verified, claim })
    }

    /// The raw body: the bytes that were verified.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.message.body
    }

    /// What the signature proves.
    #[must_use]
    pub fn verified(&self) -> &Verified {
        &self.verified
    }

    /// The body as the handler wants it.
    ///
    /// # Errors
    ///
    /// It is something else: 400, before any claim.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Refused> {
        serde_json::from_slice(&self.message.body)
            .map_err(|error| problem::bad_request(&format!("the body is not what is taken here: {error}")).into())
    }
}

/// The raw body; 413 if it is too long, by what is announced or by what has come.
///
/// A client that is cut off while it still sends may never read its answer, so a body that is not much too long is read
/// to its end.
async fn read(request: &HttpRequest, mut payload: Payload, most_bytes: usize) -> Result<Bytes, Refused> {
    let too_large = || Err(problem::content_too_large(most_bytes).into());
    let patience_bytes = most_bytes.saturating_mul(2);
    let announced = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > patience_bytes) {
        return too_large();
    }
    let cut_off = |_| Refused::from(problem::bad_request("the body ended before its time"));
    let payload = web::Payload::from_request(request, &mut payload).await.map_err(cut_off)?;
    match payload.to_bytes_limited(patience_bytes).await {
        Ok(Ok(body)) if body.len() > most_bytes => too_large(),
        Ok(body) => body.map_err(cut_off),
        Err(_) => too_large(),
    }
}

fn now_unix_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
