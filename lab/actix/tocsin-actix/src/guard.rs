//! What is guarded, and how: declared once, when the service starts.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::PgPool;

use crate::claim::{Claim, claim_key, fingerprint};
use crate::identifier::{Pointer, in_header};
use crate::keys::KeyRing;
use crate::line::Line;
use crate::message::Message;
use crate::scheme::Scheme;
use crate::verify::Verified;

const DAY_MS: i64 = 86_400_000;
/// How long duplicates get the stored answer.
const ANSWER_DAYS: i64 = 7;

/// The service's own mistake, found when it starts.
#[derive(Debug, PartialEq, Eq)]
pub struct GuardError(String);

impl GuardError {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for GuardError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for GuardError {}

/// How much, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How long a request may wait for another one with its key, and for a connection.
    pub wait: Duration,
    /// A longer body is answered 413 before it is hashed.
    pub max_body_bytes: usize,
    /// A longer answer is answered 500, and nothing is applied.
    pub max_answer_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        // Below the 3 s after which Slack gives up.
        Self { wait: Duration::from_secs(2), max_body_bytes: 1 << 20, max_answer_bytes: 1 << 20 }
    }
}

/// A scheme, whose signatures count, and the database in which claims stand beside the application's own tables.
pub struct Guard {
    scheme: Scheme,
    keys: Arc<KeyRing>,
    pool: PgPool,
    limits: Limits,
    line: Line,
    names: Mutex<HashSet<String>>,
}

impl Guard {
    /// A guard with the usual limits.
    #[must_use]
    pub fn new(scheme: Scheme, keys: KeyRing, pool: PgPool) -> Self {
        let names = Mutex::default();
        Self { scheme, keys: Arc::new(keys), pool, limits: Limits::default(), line: Line::default(), names }
    }

    /// The same guard with other limits, for what is declared from now on.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// An operation whose requests are told apart by the scheme's own message id.
    ///
    /// # Errors
    ///
    /// The name is taken, or the scheme has no message id.
    pub fn operation(&self, name: &str) -> Result<Operation, GuardError> {
        let Some(header) = self.scheme.message_id else {
            let scheme = self.scheme.name;
            return Err(GuardError::new(format!("the scheme {scheme} signs no message id; wanted operation_by")));
        };
        self.declare(name, Rule::Header(header))
    }

    /// An operation whose requests are told apart by what stands at a place in their JSON body, such as `/order_id`.
    ///
    /// # Errors
    ///
    /// The name is taken, or the pointer is none of RFC 6901.
    pub fn operation_by(&self, name: &str, pointer: &str) -> Result<Operation, GuardError> {
        let rule = Pointer::parse(pointer);
        let rule =
            rule.ok_or_else(|| GuardError::new(format!("pointer {pointer:?}: wanted one such as \"/order_id\"")));
        self.declare(name, Rule::Body(rule?))
    }

    fn declare(&self, name: &str, rule: Rule) -> Result<Operation, GuardError> {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if !names.is_empty() && !self.scheme.separates_routes() {
            return Err(GuardError::new(format!(
                "a second operation {name:?}: {} signs no path, so one message would take effect once on each; wanted \
                 a guard with secrets of its own",
                self.scheme.name
            )));
        }
        if !names.insert(name.into()) {
            return Err(GuardError::new(format!("two operations are called {name:?}; wanted a name each")));
        }
        Ok(Operation(Arc::new(Declared {
            name: name.into(),
            rule,
            scheme: self.scheme,
            keys: self.keys.clone(),
            pool: self.pool.clone(),
            limits: self.limits,
            line: self.line.clone(),
        })))
    }
}

/// A guarded operation. Give it to a resource with `app_data`, where the extractor finds it.
#[derive(Clone)]
pub struct Operation(pub(crate) Arc<Declared>);

enum Rule {
    Header(&'static str),
    Body(Pointer),
}

pub(crate) struct Declared {
    pub(crate) name: String,
    rule: Rule,
    pub(crate) scheme: Scheme,
    pub(crate) keys: Arc<KeyRing>,
    pub(crate) pool: PgPool,
    pub(crate) limits: Limits,
    pub(crate) line: Line,
}

impl Declared {
    /// The claim of a verified request.
    ///
    /// # Errors
    ///
    /// Why it has no usable idempotency key.
    pub(crate) fn claim(&self, message: &Message, verified: &Verified, now_unix_ms: i64) -> Result<Claim, String> {
        let identifier = match &self.rule {
            Rule::Header(name) => in_header(message, name),
            Rule::Body(pointer) => pointer.identifier(&message.body),
        };
        let identifier = identifier.map_err(|reason| format!("no usable idempotency key: {reason}"))?;
        // A business id has no age at which it may take effect again. A message that names itself, and is too old to
        // verify, may be forgotten.
        let is_bounded = matches!(self.rule, Rule::Header(_)) && verified.timestamp_unix.is_some();
        let kept_ms = is_bounded.then(|| self.scheme.least_claim_ms());
        let earliest = |seconds: i64| seconds.saturating_mul(1000).saturating_sub(self.scheme.tolerance_ms);
        Ok(Claim {
            key: claim_key(&verified.tenant, &self.name, &identifier),
            tenant: verified.tenant.clone(),
            operation: self.name.clone(),
            fingerprint: fingerprint(message),
            taken_unix_ms: now_unix_ms,
            answer_until_unix_ms: now_unix_ms.saturating_add(ANSWER_DAYS * DAY_MS),
            claim_until_unix_ms: kept_ms.map(|kept_ms| now_unix_ms.saturating_add(kept_ms)),
            earliest_unix_ms: verified.timestamp_unix.filter(|_| is_bounded).map(earliest),
        })
    }
}

#[cfg(test)]
mod tests {
    use actix_web::web::Bytes;
    use sqlx::postgres::PgPoolOptions;

    use super::*;
    use crate::Secret;

    fn guard(scheme: Scheme) -> Guard {
        let keys = KeyRing::new(vec![Secret::new(b"correct-horse-battery", "k1").unwrap()]).unwrap();
        Guard::new(scheme, keys, PgPoolOptions::new().connect_lazy("postgresql://nobody.invalid/none").unwrap())
    }

    fn verified(timestamp_unix: Option<i64>) -> Verified {
        Verified { tenant: "main".into(), key_id: "k1".into(), timestamp_unix }
    }

    #[actix_web::test]
    async fn two_operations_have_two_names() {
        let guard = guard(Scheme::tocsin_v1());
        assert!(guard.operation("/order").is_ok());
        assert!(guard.operation_by("/cancel", "/order_id").is_ok());
        assert!(guard.operation("/cancel").is_err_and(|error| error.to_string().contains("wanted a name each")));
        assert!(guard.operation_by("/refund", "order_id").is_err());
    }

    #[actix_web::test]
    async fn a_scheme_that_signs_no_path_serves_one_operation_and_needs_a_place_in_the_body() {
        let guard = guard(Scheme::hex_sha256_timestamp_body());
        assert!(guard.operation("/order").is_err_and(|error| error.to_string().contains("wanted operation_by")));
        assert!(guard.operation_by("/order", "/order_id").is_ok());
        assert!(guard.operation_by("/cancel", "/order_id").is_err());
    }

    #[actix_web::test]
    async fn a_business_id_is_kept_for_ever_and_a_message_id_as_long_as_its_message_can_come_again() {
        let guard = guard(Scheme::tocsin_v1());
        let headers = vec![("Idempotency-Key".into(), b"a".to_vec())];
        let message = Message::new("POST", "/order", headers, Bytes::from_static(br#"{"order_id":"a"}"#));
        let claimed = |operation: Operation| operation.0.claim(&message, &verified(Some(1000)), 5_000_000).unwrap();
        let by_body = claimed(guard.operation_by("/order", "/order_id").unwrap());
        assert_eq!((by_body.claim_until_unix_ms, by_body.earliest_unix_ms), (None, None));
        let by_header = claimed(guard.operation("/cancel").unwrap());
        assert_eq!(by_header.claim_until_unix_ms, Some(5_000_000 + 8 * DAY_MS));
        assert_eq!(by_header.earliest_unix_ms, Some(700_000));
        assert_eq!(by_header.answer_until_unix_ms, 5_000_000 + 7 * DAY_MS);
        assert_ne!(by_body.key, by_header.key);
    }
}
