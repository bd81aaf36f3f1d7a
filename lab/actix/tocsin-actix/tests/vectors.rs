//! The vectors of the Python package: what it signs verifies here, and both find the same keys.

use std::fs;
use std::path::Path;

use actix_web::web::Bytes;
use serde_json::Value;
use tocsin_actix::{Identifier, KeyRing, Message, Rejected, Scheme, Secret, claim_key, verify};

const SCHEMES: [(&str, Scheme); 3] = [
    ("tocsin-v1", Scheme::tocsin_v1()),
    ("hex-sha256-timestamp-body", Scheme::hex_sha256_timestamp_body()),
    ("hex-sha256-body", Scheme::hex_sha256_body()),
];

/// A published message, and what verifies it.
struct Published {
    name: String,
    scheme: Scheme,
    keys: KeyRing,
    message: Message,
    now_unix_ms: i64,
}

fn read(file: &str) -> Value {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../tests");
    serde_json::from_slice(&fs::read(tests.join(file)).unwrap()).unwrap()
}

fn published() -> Vec<Published> {
    let found = SCHEMES.iter().flat_map(|(preset, scheme)| {
        let document = read(&format!("signing/vectors/{preset}.json"));
        let vectors = document["vectors"].as_array().unwrap().clone();
        vectors.into_iter().map(move |vector| {
            let text = |name: &str| vector[name].as_str().unwrap_or_default().to_string();
            let fields = ["headers", "signed_headers"].map(|name| vector[name].as_array().unwrap().clone());
            let headers = fields.iter().flatten().map(|field| {
                let [name, value] = [0, 1].map(|at| field[at].as_str().unwrap().to_string());
                (name, value.into_bytes())
            });
            let secret = Secret::new(text("secret").as_bytes(), &text("key_id")).unwrap();
            Published {
                name: format!("{preset}: {}", text("name")),
                scheme: *scheme,
                keys: KeyRing::new(vec![secret]).unwrap(),
                message: Message::new(&text("method"), &text("target"), headers.collect(), Bytes::from(text("body"))),
                now_unix_ms: vector["now"].as_i64().unwrap() * 1000,
            }
        })
    });
    found.collect()
}

impl Published {
    fn judged(&self, message: &Message, later_ms: i64) -> Result<(), Rejected> {
        verify(message, &self.scheme, &self.keys, self.now_unix_ms + later_ms).map(|_| ())
    }

    fn has_time(&self) -> bool {
        self.name.contains("tocsin-v1") || self.name.contains("timestamp")
    }

    fn signature(&mut self) -> &mut (String, Vec<u8>) {
        self.message.headers.iter_mut().find(|(name, _)| name.contains("Signature")).unwrap()
    }
}

#[test]
fn every_published_message_verifies() {
    let all = published();
    assert!(all.len() >= 6);
    for each in all {
        assert_eq!(each.judged(&each.message, 0), Ok(()), "{}", each.name);
    }
}

#[test]
fn a_message_with_another_octet_anywhere_in_its_body_is_rejected() {
    for each in published() {
        for at in 0..each.message.body.len() {
            let mut body = each.message.body.to_vec();
            body[at] ^= 1;
            let changed = Message { body: body.into(), ..each.message.clone() };
            assert_eq!(each.judged(&changed, 0), Err(Rejected::WrongSignature), "{}, octet {at}", each.name);
        }
    }
}

#[test]
fn tocsin_v1_covers_method_path_query_and_idempotency_key() {
    for each in published().into_iter().filter(|each| each.name.starts_with("tocsin-v1")) {
        let message = &each.message;
        let mut renamed = message.clone();
        renamed.headers.iter_mut().find(|(name, _)| name == "Idempotency-Key").unwrap().1.push(b'x');
        let changed = [
            Message { method: "PATCH".into(), ..message.clone() },
            Message { path: format!("{}/", message.path), ..message.clone() },
            Message { query: format!("{}&", message.query), ..message.clone() },
            renamed,
        ];
        for other in changed {
            assert_eq!(each.judged(&other, 0), Err(Rejected::WrongSignature), "{}", each.name);
        }
    }
}

#[test]
fn a_signature_has_one_spelling() {
    for mut each in published() {
        let (_, value) = each.signature().clone();
        let text = String::from_utf8(value).unwrap();
        let at = text.rfind('=').map_or(0, |at| at + 1);
        let (before, digits) = text.split_at(at);
        let others = [
            format!("{before}{}", digits.to_uppercase()),
            format!("{before}{}", &digits[..63]),
            format!("{before}{digits}0"),
            format!("{before} {digits}"),
            format!("{before}{}", "0".repeat(64)),
            format!("{before}é{digits}"),
            before.to_string(),
            String::new(),
        ];
        for other in others {
            each.signature().1 = other.clone().into_bytes();
            assert!(each.judged(&each.message, 0).is_err(), "{}: {other}", each.name);
        }
    }
}

#[test]
fn what_is_read_has_to_be_there_once() {
    for each in published() {
        for (at, field) in each.message.headers.iter().enumerate() {
            if !field.0.contains("Signature") && field.0 != "X-Timestamp" {
                continue;
            }
            let mut twice = each.message.clone();
            twice.headers.push((field.0.to_lowercase(), field.1.clone()));
            assert!(matches!(each.judged(&twice, 0), Err(Rejected::Duplicated(_))), "{}", each.name);
            let mut gone = each.message.clone();
            gone.headers.remove(at);
            assert!(matches!(each.judged(&gone, 0), Err(Rejected::Missing(_))), "{}", each.name);
        }
    }
}

#[test]
fn a_signed_time_may_be_300_s_from_now_and_no_more() {
    for each in published().into_iter().filter(Published::has_time) {
        for (later_s, is_right) in [(300, true), (301, false), (-300, true), (-301, false), (i64::MAX / 2000, false)] {
            assert_eq!(each.judged(&each.message, later_s * 1000).is_ok(), is_right, "{}, {later_s} s", each.name);
        }
    }
}

#[test]
fn tocsin_v1_tries_every_signature_and_skips_what_it_does_not_know() {
    let mut each = published().swap_remove(0);
    let value = String::from_utf8(each.signature().1.clone()).unwrap();
    let junk = format!("v1={}", "0".repeat(64));
    let lists = [
        (format!("{junk},v0=old,{value},more"), true),
        (format!("{value},k=other"), false),
        (format!("{value},t=1700000000"), false),
        (value.replace("k=k1", "k=k2"), false),
        (value.replace("t=1", "t=01"), false),
        (value.replace("t=1", "t=+1"), false),
        (value.replace(',', ", "), false),
        (format!("{}{value}", format!("{junk},").repeat(61)), false),
    ];
    for (list, is_right) in lists {
        each.signature().1 = list.clone().into_bytes();
        assert_eq!(each.judged(&each.message, 0).is_ok(), is_right, "{list}");
    }
}

#[test]
fn no_header_whatever_makes_it_panic_or_accept() {
    let mut state: u64 = 0x746f_6373_696e;
    let mut next = |below: usize| {
        // xorshift64: the same headers in every run.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).unwrap()
    };
    let pieces = ["t=", "k=", "v1=", ",", "=", "1700000000", "k1", "é", "\0", "0", "999999999999", "\u{ff}", "a4"];
    for mut each in published() {
        for _ in 0..2000 {
            let value: String = (0..next(12)).map(|_| pieces[next(pieces.len())]).collect();
            each.signature().1 = value.into_bytes();
            assert!(each.judged(&each.message, 0).is_err());
        }
    }
}

#[test]
fn the_keys_are_those_of_the_other_languages() {
    let document = read("guard/vectors/keys.json");
    let vectors = document["keys"].as_array().unwrap();
    let mut seen = 0;
    for vector in vectors {
        let text = |name: &str| vector[name].as_str().unwrap();
        let value = String::from_utf8(unhex(text("value_hex")));
        let identifier = match (text("tag"), value) {
            ("string", Ok(value)) => Identifier::Text(value),
            ("integer", Ok(value)) => Identifier::Integer(value),
            _ => continue, // the digest of a body: no operation is told apart by it here
        };
        seen += 1;
        let key = claim_key(text("tenant"), text("operation"), &identifier);
        assert_eq!(unhex(text("key_hex")), key, "{}", text("comment"));
    }
    assert_eq!(seen, vectors.len() - 1);
}

#[test]
fn a_secret_shows_its_name_and_nothing_else() {
    let secret = Secret::new(b"correct-horse-battery", "k1").unwrap();
    assert_eq!(format!("{secret:?}"), r#"Secret("k1")"#);
    assert!(Secret::new(b"fifteen octets!", "k1").is_err());
}

#[test]
fn two_tenants_with_one_secret_are_refused() {
    let secret = || Secret::new(b"correct-horse-battery", "k1").unwrap();
    assert!(KeyRing::new(vec![secret(), secret()]).is_ok());
    assert!(KeyRing::new(vec![secret(), secret().of_tenant("acme")]).is_err());
    assert!(KeyRing::new(vec![]).is_err());
}

fn unhex(digits: &str) -> Vec<u8> {
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}
