#![allow(dead_code, unused_imports)]
// What the Actix fixes take for granted; check_types.py makes a module of each.
use actix_web::error::{ErrorBadRequest, ErrorServiceUnavailable, ErrorUnauthorized};
use actix_web::http::header::HeaderMap;
use actix_web::web::{Bytes, Data};
use actix_web::{post, HttpRequest, HttpResponse};
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use sqlx::{PgConnection, PgPool};
use std::time::{SystemTime, UNIX_EPOCH};
use subtle::ConstantTimeEq;

const SECRET: &[u8] = b"";

#[derive(serde::Deserialize)]
struct Message {
    order_id: String,
    item: String,
    status: String,
    seq: i64,
}
