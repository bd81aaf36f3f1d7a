//! What is stored under which key: the derivations that services in other languages share.
//!
//! Rule: both are frozen. A changed key would let every kept message take effect once more. The vectors are those of
//! `tests/guard/vectors/keys.json`.

use sha2::{Digest, Sha256};

use crate::identifier::Identifier;
use crate::message::Message;

const DERIVATION: &[u8] = b"tocsin-claim-1";
/// The byte before a fingerprint of method, path, query and raw body.
const OF_A_REQUEST: u8 = b'R';

/// A request's wish to be the one that is applied.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    pub(crate) key: [u8; 32],
    pub(crate) tenant: String,
    pub(crate) operation: String,
    pub(crate) fingerprint: Vec<u8>,
    pub(crate) taken_unix_ms: i64,
    pub(crate) answer_until_unix_ms: i64,
    /// None: it is kept for ever.
    pub(crate) claim_until_unix_ms: Option<i64>,
    /// The earliest moment at which this very message can have been accepted before; None: its claim is kept for ever.
    pub(crate) earliest_unix_ms: Option<i64>,
}

/// The 32 bytes under which a claim is stored: SHA-256 over the derivation's name, tenant, operation, type tag and
/// value, each after its length in 4 bytes, big-endian.
#[must_use]
pub fn claim_key(tenant: &str, operation: &str, identifier: &Identifier) -> [u8; 32] {
    let (tag, value) = match identifier {
        Identifier::Text(text) => ("string", text),
        Identifier::Integer(digits) => ("integer", digits),
    };
    let parts = [DERIVATION, tenant.as_bytes(), operation.as_bytes(), tag.as_bytes(), value.as_bytes()];
    hashed(&parts)
}

/// A byte for what is compared, and SHA-256 over method, path, query and raw body, each with its length.
#[must_use]
pub fn fingerprint(message: &Message) -> Vec<u8> {
    let parts: [&[u8]; 4] =
        [message.method.as_bytes(), message.path.as_bytes(), message.query.as_bytes(), &message.body];
    let mut compared = vec![OF_A_REQUEST];
    compared.extend(hashed(&parts));
    compared
}

/// Whether two fingerprints say that two requests differ. Over different parts they say nothing about each other.
pub(crate) fn differ(stored: Option<&[u8]>, given: &[u8]) -> bool {
    stored.is_some_and(|stored| stored.first() == given.first() && stored != given)
}

fn hashed(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        // A body is bounded, so no length needs more than 32 bits.
        hash.update(u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}
