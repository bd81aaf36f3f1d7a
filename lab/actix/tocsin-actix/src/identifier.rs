//! What makes two requests the same operation: a place in the signed JSON body, or the scheme's message id.
//!
//! Rule: a body has one meaning. A member that is given twice is refused, because parsers differ on which one counts.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value, error::Category};

use crate::message::Message;

/// The most that an identifier may have: bytes of UTF-8, or characters in a header.
const MOST_IDENTIFIER_BYTES: usize = 255;
const GIVEN_TWICE: &str = "the body gives a member twice";

/// An identifier; 17 and "17" are two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identifier {
    /// A text.
    Text(String),
    /// An integer in its shortest decimal form.
    Integer(String),
}

/// An RFC 6901 pointer such as `/order_id`.
#[derive(Clone, Debug)]
pub(crate) struct Pointer {
    text: String,
    tokens: Vec<String>,
}

impl Pointer {
    /// None: it is malformed, or points to the whole document.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let tokens = text.strip_prefix('/')?.split('/');
        let unescaped = tokens.map(|token| {
            let is_escaped = |rest: &str| rest.starts_with(['0', '1']);
            let is_sound = token.split('~').skip(1).all(is_escaped);
            is_sound.then(|| token.replace("~1", "/").replace("~0", "~"))
        });
        Some(Self { text: text.into(), tokens: unescaped.collect::<Option<_>>()? })
    }

    /// What stands there: a text of 1 to 255 bytes, or an integer.
    ///
    /// # Errors
    ///
    /// What is wrong instead, in the words of `tocsin.signing`.
    pub(crate) fn identifier(&self, body: &[u8]) -> Result<Identifier, String> {
        let document = parse_strictly(body)?;
        let mut value = &document;
        for token in &self.tokens {
            value = self.step(value, token)?;
        }
        match value {
            Value::String(text) if (1..=MOST_IDENTIFIER_BYTES).contains(&text.len()) => {
                Ok(Identifier::Text(text.clone()))
            }
            Value::String(text) => {
                Err(format!("{} has {} bytes; wanted 1 to {MOST_IDENTIFIER_BYTES}", self.text, text.len()))
            }
            // LIMIT: an integer that no 64 bits hold arrives here as a float, and is refused.
            Value::Number(number) if number.is_i64() || number.is_u64() => Ok(Identifier::Integer(number.to_string())),
            other => Err(format!("{} is {}; wanted a string or an integer", self.text, kind(other))),
        }
    }

    fn step<'a>(&self, value: &'a Value, token: &str) -> Result<&'a Value, String> {
        let found = match value {
            Value::Object(members) => members.get(token),
            Value::Array(elements) => index(token).and_then(|index| elements.get(index)),
            other => return Err(format!("{}: {} has no members", self.text, kind(other))),
        };
        found.ok_or_else(|| format!("{} is not there", self.text))
    }
}

/// The scheme's message id, from a header that the signature covers.
///
/// # Errors
///
/// What is wrong with it, in the words of `tocsin.guard`.
pub(crate) fn in_header(message: &Message, name: &str) -> Result<Identifier, String> {
    let mut values = message.values(name);
    let value = values.next().ok_or_else(|| format!("{name} is missing"))?;
    if values.next().is_some() {
        return Err(format!("{name} is given more than once"));
    }
    let text =
        unquoted(value).ok_or_else(|| format!("{name} begins with a quote and is no structured-field string"))?;
    let is_visible = text.iter().all(|octet| (b'!'..=b'~').contains(octet));
    if !is_visible || !(1..=MOST_IDENTIFIER_BYTES).contains(&text.len()) {
        return Err(format!("{name} is not 1 to {MOST_IDENTIFIER_BYTES} visible ASCII characters"));
    }
    if value.contains(&b',') && !value.starts_with(b"\"") {
        return Err(format!("{name} is given more than once, or holds a comma"));
    }
    String::from_utf8(text).map(Identifier::Text).map_err(|_| format!("{name} is no text"))
}

/// The text of a bare or quoted value (RFC 9651 section 4.2.5); None where the quotes are not well formed.
fn unquoted(value: &[u8]) -> Option<Vec<u8>> {
    let Some(quoted) = value.strip_prefix(b"\"") else { return Some(value.to_vec()) };
    let mut octets = quoted.iter().copied();
    let mut text = Vec::with_capacity(quoted.len());
    loop {
        match octets.next()? {
            b'"' => return octets.next().is_none().then_some(text),
            b'\\' => text.push(octets.next().filter(|octet| matches!(octet, b'"' | b'\\'))?),
            octet => text.push(octet),
        }
    }
}

/// An array's index as RFC 6901 spells it.
fn index(token: &str) -> Option<usize> {
    let is_decimal = token.bytes().all(|octet| octet.is_ascii_digit()) && (token == "0" || !token.starts_with('0'));
    if is_decimal { token.parse().ok() } else { None }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

fn parse_strictly(body: &[u8]) -> Result<Value, String> {
    let text = std::str::from_utf8(body).map_err(|_| "the body is not UTF-8".to_string())?;
    serde_json::from_str(text).map(|Strict(value)| value).map_err(|error| match error.classify() {
        Category::Data => GIVEN_TWICE.into(),
        _ => format!("the body is not JSON: {error}"),
    })
}

/// A document in which no member is given twice.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Strict(element)) = elements.next_element()? {
            list.push(element);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some((name, Strict(value))) = members.next_entry()? {
            if object.insert(name, value).is_some() {
                return Err(A::Error::custom(GIVEN_TWICE));
            }
        }
        Ok(object.into())
    }
}

#[cfg(test)]
mod tests {
    use actix_web::web::Bytes;

    use super::*;

    fn at(pointer: &str, body: &str) -> Result<Identifier, String> {
        Pointer::parse(pointer).unwrap().identifier(body.as_bytes())
    }

    fn in_headers(values: &[&str]) -> Result<Identifier, String> {
        let headers = values.iter().map(|value| ("idempotency-key".into(), value.as_bytes().to_vec())).collect();
        in_header(&Message::new("POST", "/", headers, Bytes::new()), "Idempotency-Key")
    }

    #[test]
    fn a_text_and_an_integer_are_two_identifiers() {
        assert_eq!(at("/id", r#"{"id":"17"}"#), Ok(Identifier::Text("17".into())));
        assert_eq!(at("/id", r#"{"id":17}"#), Ok(Identifier::Integer("17".into())));
        assert_eq!(at("/a~1b/1/~0", r#"{"a/b":[0,{"~":-5}]}"#), Ok(Identifier::Integer("-5".into())));
    }

    #[test]
    fn what_is_no_identifier_is_refused_in_the_words_of_the_python_guard() {
        let refused = [
            (r#"{"id":null}"#, "/id is null; wanted a string or an integer"),
            (r#"{"id":[1]}"#, "/id is a list; wanted a string or an integer"),
            (r#"{"id":1.0}"#, "/id is a number; wanted a string or an integer"),
            (r#"{"id":true}"#, "/id is a boolean; wanted a string or an integer"),
            (r#"{"id":""}"#, "/id has 0 bytes; wanted 1 to 255"),
            ("{}", "/id is not there"),
            ("[]", "/id is not there"),
            ("7", "/id: a number has no members"),
            (r#"{"id":"1","id":"2"}"#, "the body gives a member twice"),
            (r#"{"id":"1","a":[{"b":1,"b":1}]}"#, "the body gives a member twice"),
        ];
        for (body, reason) in refused {
            assert_eq!(at("/id", body), Err(reason.into()), "{body}");
        }
        assert_eq!(Pointer::parse("/id").unwrap().identifier(b"\xff"), Err("the body is not UTF-8".into()));
    }

    #[test]
    fn what_is_no_json_is_refused_however_deep_or_large_it_is() {
        let deep = "[".repeat(100_000);
        let huge = format!(r#"{{"id":{}}}"#, "9".repeat(300));
        for body in ["", "{", "NaN", r#"{"id":1e999}"#, "{\"id\":\"\u{1}\"}", r#"{"id":"\ud800"}"#, "1 2", &deep, &huge]
        {
            assert!(at("/id", body).is_err(), "{body:.20}");
        }
    }

    #[test]
    fn a_pointer_is_one_of_rfc_6901_and_not_to_the_whole_document() {
        assert!(["/", "/a", "/a~0~1/0"].iter().all(|text| Pointer::parse(text).is_some()));
        assert!(["", "a", "/~", "/~2"].iter().all(|text| Pointer::parse(text).is_none()));
    }

    #[test]
    fn an_idempotency_key_is_bare_or_quoted() {
        for (value, text) in [("a-1", "a-1"), (r#""a-1""#, "a-1"), (r#""a\"\\,""#, r#"a"\,"#)] {
            assert_eq!(in_headers(&[value]), Ok(Identifier::Text(text.into())));
        }
    }

    #[test]
    fn what_is_no_idempotency_key_is_refused_in_the_words_of_the_python_guard() {
        let long = "x".repeat(256);
        let refused: [(&[&str], &str); 8] = [
            (&[], "Idempotency-Key is missing"),
            (&["a", "a"], "Idempotency-Key is given more than once"),
            (&["a,a"], "Idempotency-Key is given more than once, or holds a comma"),
            (&[""], "Idempotency-Key is not 1 to 255 visible ASCII characters"),
            (&["a b"], "Idempotency-Key is not 1 to 255 visible ASCII characters"),
            (&["é"], "Idempotency-Key is not 1 to 255 visible ASCII characters"),
            (&[&long], "Idempotency-Key is not 1 to 255 visible ASCII characters"),
            (&[r#""a"#], "Idempotency-Key begins with a quote and is no structured-field string"),
        ];
        for (values, reason) in refused {
            assert_eq!(in_headers(values), Err(reason.into()), "{values:?}");
        }
    }
}
