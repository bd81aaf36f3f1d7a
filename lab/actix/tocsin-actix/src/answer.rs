//! The answer to a request, and the form in which its duplicates will get it.
//!
//! Rule: a duplicate gets status, header fields and body as the handler produced them. Left out is only what belongs to
//! one connection or one moment.

use actix_web::body::{BodySize, MessageBody, to_bytes_limited};
use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::{HttpResponse, web::Bytes};

/// RFC 9110 section 7.6.1 and RFC 9112: fields about one connection. Date and Server are the server's own to set, and
/// Content-Length follows from the body.
const NOT_STORED: [&str; 12] = [
    "connection",
    "content-length",
    "date",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "server",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
/// Stripe's name for it; the IETF draft names none.
const REPLAYED: (&str, &str) = ("idempotent-replayed", "true");

/// Status, header fields in the latin-1 view, and whole body.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Bytes,
}

impl Answer {
    /// What a handler produced, less what is not stored; None: its body has more than `most_bytes`, or fails.
    pub(crate) async fn produced(response: HttpResponse, most_bytes: usize) -> Option<Self> {
        let status = response.status();
        let kept = response.headers().iter().filter(|(name, _)| !NOT_STORED.contains(&name.as_str()));
        let headers = kept.map(|(name, value)| (name.as_str().into(), latin_1(value.as_bytes()))).collect();
        let body = response.into_body();
        if matches!(body.size(), BodySize::Sized(size) if usize::try_from(size).is_ok_and(|size| size > most_bytes)) {
            return None;
        }
        let body = to_bytes_limited(body, most_bytes).await.ok()?.ok()?;
        Some(Self { status, headers, body })
    }

    /// The header fields as the table keeps them: a JSON list of pairs, in ASCII.
    pub(crate) fn stored_headers(&self) -> Vec<u8> {
        let text = serde_json::to_string(&self.headers).unwrap_or_else(|_| "[]".into());
        let escaped = |character: char| match character {
            ' '..='~' => character.to_string(),
            other => format!("\\u{:04x}", u32::from(other)),
        };
        text.chars().map(escaped).collect::<String>().into_bytes()
    }

    /// The stored answer for a duplicate; None: what is stored is none that this crate can read.
    pub(crate) fn replayed(status: i32, headers: &[u8], body: Vec<u8>) -> Option<Self> {
        let mut headers: Vec<(String, String)> = serde_json::from_slice(headers).ok()?;
        headers.push((REPLAYED.0.into(), REPLAYED.1.into()));
        Some(Self { status: known(status)?, headers, body: body.into() })
    }

    /// What a duplicate gets when the stored answer has gone and its status is still known.
    pub(crate) fn replayed_status(status: i32) -> Option<Self> {
        let headers = vec![(REPLAYED.0.into(), REPLAYED.1.into())];
        Some(Self { status: known(status)?, headers, body: Bytes::new() })
    }

    pub(crate) fn into_response(self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status);
        for (name, value) in &self.headers {
            if name == "connection" {
                response.force_close();
            } else if let (Ok(name), Some(value)) = (HeaderName::try_from(name.as_str()), octets(value)) {
                // Each was a header field once, of this service or of one that shares the table.
                response.append_header((name, value));
            }
        }
        response.body(self.body)
    }
}

fn known(status: i32) -> Option<StatusCode> {
    u16::try_from(status).ok().and_then(|status| StatusCode::from_u16(status).ok())
}

fn latin_1(octets: &[u8]) -> String {
    octets.iter().copied().map(char::from).collect()
}

fn octets(text: &str) -> Option<HeaderValue> {
    let octets: Option<Vec<u8>> = text.chars().map(|character| u8::try_from(u32::from(character)).ok()).collect();
    HeaderValue::from_bytes(&octets?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[actix_web::test]
    async fn an_answer_comes_back_as_it_was_less_what_belongs_to_one_connection() {
        let mut response = HttpResponse::Created();
        let set = [("x-a", "1"), ("set-cookie", "a=1"), ("set-cookie", "b=2"), ("connection", "close")];
        for field in set {
            response.append_header(field);
        }
        response.append_header(("x-name", HeaderValue::from_bytes(b"caf\xe9 \"\\").unwrap()));
        let produced = Answer::produced(response.body("\u{0}body"), 10).await.unwrap();
        let stored = produced.stored_headers();
        assert!(stored.is_ascii());
        let replayed = Answer::replayed(201, &stored, produced.body.to_vec()).unwrap();
        assert_eq!(replayed.headers[..replayed.headers.len() - 1], produced.headers);
        let response = replayed.into_response();
        assert_eq!(response.headers().get_all("set-cookie").count(), 2);
        assert_eq!(response.headers().get("x-name").unwrap().as_bytes(), b"caf\xe9 \"\\");
        assert_eq!(response.headers().get("idempotent-replayed").unwrap(), "true");
        assert!(!response.headers().contains_key("connection"));
    }

    #[actix_web::test]
    async fn an_answer_that_is_too_long_is_none() {
        assert!(Answer::produced(HttpResponse::Ok().body("12345"), 5).await.is_some());
        assert!(Answer::produced(HttpResponse::Ok().body("123456"), 5).await.is_none());
    }

    #[test]
    fn what_cannot_be_read_is_no_answer() {
        assert!(Answer::replayed(200, b"sealed", Vec::new()).is_none());
        assert!(Answer::replayed(20_000, b"[]", Vec::new()).is_none());
        assert!(Answer::replayed_status(-1).is_none());
    }
}
