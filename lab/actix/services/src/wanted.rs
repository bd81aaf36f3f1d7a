//! Bodies of the signed routes, and what may stand in them.

use serde::{Deserialize, Serialize};

/// The longest name; those of the lab have 12 to 40 characters.
const MOST_CHARACTERS: usize = 200;
const MOST_PIECES: i64 = 1_000_000;

/// Printable ASCII: PostgreSQL's text holds no NUL, and a name that nobody can type is none.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(try_from = "String")]
pub struct Name(String);

impl Name {
    /// As it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Name {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let is_printable = text.bytes().all(|octet| (b' '..=b'~').contains(&octet));
        let is_name = is_printable && (1..=MOST_CHARACTERS).contains(&text.len());
        if is_name { Ok(Self(text)) } else { Err("a name has 1 to 200 characters of printable ASCII") }
    }
}

/// A number of pieces, or an amount of money: more than none, and not so much that sums overflow.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "i64")]
pub struct Amount(pub i64);

impl TryFrom<i64> for Amount {
    type Error = &'static str;

    fn try_from(number: i64) -> Result<Self, Self::Error> {
        if (1..=MOST_PIECES).contains(&number) { Ok(Self(number)) } else { Err("an amount is from 1 to a million") }
    }
}

/// `POST /order`: takes one piece, as the orders of the other services do, whatever `qty` says.
#[derive(Debug, Deserialize)]
pub struct Order {
    /// The order's own name.
    pub order_id: Name,
    /// What is ordered.
    pub item: Name,
    /// How many; written down.
    pub qty: Amount,
}

/// `POST /api/reserve/{item}`
#[derive(Debug, Deserialize)]
pub struct Reservation {
    /// The reservation's own name.
    pub reservation_id: Name,
}

/// `POST /webhooks/payment`
#[derive(Debug, Deserialize)]
pub struct Payment {
    /// The event's own name.
    pub event_id: Name,
    /// Whose balance changes.
    pub account: Name,
    /// Its place among the account's events.
    pub seq: Amount,
    /// By how much.
    pub amount: Amount,
}

/// `POST /transfer`
#[derive(Debug, Deserialize)]
pub struct Transfer {
    /// The transfer's own name.
    pub transfer_id: Name,
    /// The account that pays.
    pub source: Name,
    /// The account that is paid.
    pub target: Name,
    /// How much.
    pub amount: Amount,
}

/// `POST /coupon/redeem`
#[derive(Debug, Deserialize)]
pub struct Redemption {
    /// The redemption's own name.
    pub redemption_id: Name,
    /// What is redeemed.
    pub coupon: Name,
}
