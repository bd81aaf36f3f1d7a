//! Verify a message.
//!
//! Rule: for any message whatever, the answer is a `Verified` or a `Rejected`, and what the signature does not cover
//! decides nothing. No clock is read here: `now` is an argument.

use std::fmt;

use sha2::{Digest, Sha256};

use crate::keys::KeyRing;
use crate::message::Message;
use crate::scheme::{Content, Scheme};

/// Room for 50 signatures where a sender that rotates sends 2; far below what servers allow.
const MOST_VALUE_BYTES: usize = 4096;
const MOST_ITEMS: usize = 64;
/// The first second after the year 9999, the last one that ISO 8601 writes with four digits.
const END_UNIX: i64 = 253_402_300_800;
const MOST_TIMESTAMP_DIGITS: usize = 12;

/// What a signature proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Whose secret signed it.
    pub tenant: String,
    /// Which of them.
    pub key_id: String,
    /// When it was signed, in Unix seconds; None under schemes that sign no time.
    pub timestamp_unix: Option<i64>,
}

/// Why a message does not verify: for the log, and for nobody who sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejected {
    /// A part is not there.
    Missing(&'static str),
    /// A part is there more than once.
    Duplicated(&'static str),
    /// A part does not have its shape.
    Malformed(&'static str),
    /// No secret has this key id.
    UnknownKey,
    /// No secret made one of the signatures.
    WrongSignature,
    /// The signed time is too far from now.
    OutsideTolerance {
        /// How far, in milliseconds; negative for a time to come.
        age_ms: i64,
    },
}

impl fmt::Display for Rejected {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(part) => write!(formatter, "{part} is missing"),
            Self::Duplicated(part) => write!(formatter, "{part} is given more than once"),
            Self::Malformed(part) => write!(formatter, "{part} is malformed"),
            Self::UnknownKey => formatter.write_str("no secret has this key id"),
            Self::WrongSignature => formatter.write_str("the signature is wrong"),
            Self::OutsideTolerance { age_ms } => write!(formatter, "it was signed {age_ms} ms ago"),
        }
    }
}

/// What a message says of itself.
struct Presented<'a> {
    signatures: Vec<[u8; 32]>,
    timestamp: Option<&'a str>,
    key_id: Option<&'a str>,
}

/// Check the signature, then the timestamp.
///
/// # Errors
///
/// The message does not verify.
pub fn verify(message: &Message, scheme: &Scheme, keys: &KeyRing, now_unix_ms: i64) -> Result<Verified, Rejected> {
    let presented = presented(message, scheme)?;
    let timestamp_unix = presented.timestamp.map(parse_timestamp).transpose()?;
    let base = base(message, scheme, &presented);
    let pieces = if scheme.content == Content::RequestLines { vec![&base[..]] } else { vec![&base[..], &message.body] };
    let mut candidates = keys.candidates(presented.key_id).peekable();
    if candidates.peek().is_none() {
        return Err(Rejected::UnknownKey);
    }
    if presented.signatures.is_empty() {
        return Err(Rejected::Malformed("the signature"));
    }
    let signer = candidates.find(|secret| secret.signed(&pieces, &presented.signatures));
    let signer = signer.ok_or(Rejected::WrongSignature)?;
    if let Some(timestamp_unix) = timestamp_unix {
        let age_ms = now_unix_ms.saturating_sub(timestamp_unix.saturating_mul(1000));
        if age_ms.saturating_abs() > scheme.tolerance_ms {
            return Err(Rejected::OutsideTolerance { age_ms });
        }
    }
    Ok(Verified { tenant: signer.tenant.clone(), key_id: signer.key_id.clone(), timestamp_unix })
}

/// What is signed, less the raw body where that follows.
fn base(message: &Message, scheme: &Scheme, presented: &Presented<'_>) -> Vec<u8> {
    let timestamp = presented.timestamp.unwrap_or_default();
    match scheme.content {
        Content::Body => Vec::new(),
        Content::TimestampAndBody => [timestamp.as_bytes(), b"."].concat(),
        Content::RequestLines => {
            // RFC 9110 section 5.3: fields of one name mean their values joined. Whether there is one is asked later.
            let id = message.values(scheme.message_id.unwrap_or_default()).collect::<Vec<_>>().join(&b", "[..]);
            let digest = hex(&Sha256::digest(&message.body));
            let lines: [&[u8]; 8] = [
                b"tocsin-v1",
                timestamp.as_bytes(),
                presented.key_id.unwrap_or_default().as_bytes(),
                message.method.as_bytes(),
                message.path.as_bytes(),
                message.query.as_bytes(),
                &id,
                digest.as_bytes(),
            ];
            lines.join(&b"\n"[..])
        }
    }
}

fn presented<'a>(message: &'a Message, scheme: &Scheme) -> Result<Presented<'a>, Rejected> {
    let value = printable(once(message, scheme.header)?, scheme.header)?;
    if scheme.content == Content::RequestLines {
        return items(value, scheme.header);
    }
    let timestamp = scheme.timestamp_header.map(|name| printable(once(message, name)?, name)).transpose()?;
    Ok(Presented { signatures: unhex(value).into_iter().collect(), timestamp, key_id: None })
}

/// "t=...,k=...,v1=...": every signature is tried, items of another shape are skipped, the rest is there once.
fn items<'a>(value: &'a str, part: &'static str) -> Result<Presented<'a>, Rejected> {
    let mut presented = Presented { signatures: Vec::new(), timestamp: None, key_id: None };
    let mut holds_signature = false;
    for (index, item) in value.split(',').enumerate() {
        if index == MOST_ITEMS {
            return Err(Rejected::Malformed(part));
        }
        let slot = match item.split_once('=') {
            Some(("t", text)) => presented.timestamp.replace(text),
            Some(("k", text)) => presented.key_id.replace(text),
            Some(("v1", text)) => {
                holds_signature = true;
                presented.signatures.extend(unhex(text));
                None
            }
            _ => None,
        };
        if slot.is_some() {
            return Err(Rejected::Duplicated(part));
        }
    }
    let is_whole = holds_signature && presented.timestamp.is_some() && presented.key_id.is_some();
    if is_whole { Ok(presented) } else { Err(Rejected::Malformed(part)) }
}

fn once<'a>(message: &'a Message, name: &'static str) -> Result<&'a [u8], Rejected> {
    let mut values = message.values(name);
    let first = values.next().ok_or(Rejected::Missing(name))?;
    if values.next().is_some() { Err(Rejected::Duplicated(name)) } else { Ok(first) }
}

fn printable<'a>(value: &'a [u8], part: &'static str) -> Result<&'a str, Rejected> {
    let is_printable = value.len() <= MOST_VALUE_BYTES && value.iter().all(|octet| (b' '..=b'~').contains(octet));
    let text = std::str::from_utf8(value).map_err(|_| Rejected::Malformed(part))?;
    if is_printable { Ok(text) } else { Err(Rejected::Malformed(part)) }
}

/// Unix seconds in their one spelling: "+1700000000" or "01700000000" would be a fresh name for the same instant.
fn parse_timestamp(text: &str) -> Result<i64, Rejected> {
    let is_decimal = text.bytes().all(|octet| octet.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    let is_canonical = is_decimal && (1..=MOST_TIMESTAMP_DIGITS).contains(&text.len());
    let timestamp = if is_canonical { text.parse().ok() } else { None };
    timestamp.filter(|&seconds| seconds < END_UNIX).ok_or(Rejected::Malformed("the timestamp"))
}

/// Lower-case hex.
pub(crate) fn hex(octets: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = octets.iter().flat_map(|octet| [octet >> 4, octet & 15]);
    digits.map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}

/// The 32 octets of 64 lower-case hex digits. Another spelling is not the same signature.
fn unhex(text: &str) -> Option<[u8; 32]> {
    let digit = |octet: u8| match octet {
        b'0'..=b'9' => Some(octet - b'0'),
        b'a'..=b'f' => Some(octet - b'a' + 10),
        _ => None,
    };
    let mut octets = [0; 32];
    if text.len() != 2 * octets.len() {
        return None;
    }
    for (octet, pair) in octets.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *octet = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(octets)
}
