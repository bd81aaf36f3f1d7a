//! How requests are signed, as data: the presets of `tocsin.signing` that this crate speaks.

/// What the signature is computed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// Eight lines: "tocsin-v1", timestamp, key id, method, path, query, Idempotency-Key, lower hex SHA-256 of the body.
    RequestLines,
    /// Timestamp, full stop, raw body.
    TimestampAndBody,
    /// The raw body.
    Body,
}

/// A signature scheme: HMAC-SHA256 in lower-case hex, which is the only spelling that verifies.
#[derive(Clone, Copy, Debug)]
pub struct Scheme {
    pub(crate) name: &'static str,
    pub(crate) content: Content,
    pub(crate) header: &'static str,
    pub(crate) timestamp_header: Option<&'static str>,
    pub(crate) message_id: Option<&'static str>,
    pub(crate) tolerance_ms: i64,
    pub(crate) retry_horizon_ms: i64,
}

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 1_440 * MINUTE_MS;

impl Scheme {
    /// Method, path, query, time, key id, Idempotency-Key and the body's digest, in the header Tocsin-Signature.
    #[must_use]
    pub const fn tocsin_v1() -> Self {
        Self {
            name: "tocsin-v1",
            content: Content::RequestLines,
            header: "Tocsin-Signature",
            timestamp_header: None,
            message_id: Some("Idempotency-Key"),
            tolerance_ms: 5 * MINUTE_MS,
            // As the preset of tocsin.signing has it: claims of both are kept for the same time.
            retry_horizon_ms: 7 * DAY_MS,
        }
    }

    /// X-Timestamp and the raw body, in X-Signature. Neither method nor path is signed.
    #[must_use]
    pub const fn hex_sha256_timestamp_body() -> Self {
        Self {
            name: "hex-sha256-timestamp-body",
            content: Content::TimestampAndBody,
            header: "X-Signature",
            timestamp_header: Some("X-Timestamp"),
            message_id: None,
            tolerance_ms: 5 * MINUTE_MS,
            retry_horizon_ms: 0,
        }
    }

    /// The raw body, in X-Signature. Neither time, method nor path is signed.
    #[must_use]
    pub const fn hex_sha256_body() -> Self {
        Self {
            name: "hex-sha256-body",
            content: Content::Body,
            header: "X-Signature",
            timestamp_header: None,
            message_id: None,
            tolerance_ms: 0,
            retry_horizon_ms: 0,
        }
    }

    /// Whether a message that is signed for one route fails on another.
    pub(crate) const fn separates_routes(&self) -> bool {
        matches!(self.content, Content::RequestLines)
    }

    /// The shortest time for which claims may be kept: sending again and both tolerances, plus a day for clocks.
    pub(crate) fn least_claim_ms(&self) -> i64 {
        self.retry_horizon_ms.max(2 * self.tolerance_ms) + DAY_MS
    }
}
