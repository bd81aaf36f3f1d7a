//! Reservations as a published remedy has them: one async mutex around a map from item to stock.
//!
//! As published: the JSON extractor runs before anything is verified; the signature is over the payload serialised
//! again, and not over the path, which names the item; an item that nobody has named starts at 100; nothing remembers a
//! message; and every process has a stock of its own, which a restart fills again.

use std::collections::HashMap;

use actix_web::http::StatusCode;
use actix_web::web::{Data, Json, Path, get, post};
use actix_web::{HttpRequest, HttpResponse};
use lab_actix::wanted::Name;
use lab_actix::{Problem, is_signed, none_left, ok, require_loopback, serve, signature_of};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::Mutex;

const STOCK: i64 = 100;

struct Desk {
    secret: Vec<u8>,
    stock: Mutex<HashMap<String, i64>>,
}

#[derive(Deserialize, Serialize)]
struct Reservation {
    request_id: Name,
}

#[derive(Deserialize)]
struct Stock {
    stock: i64,
}

#[actix_web::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let secret = std::env::var("LAB_SECRET")?.into_bytes();
    let desk = Data::new(Desk { secret, stock: Mutex::default() });
    serve(move |config| {
        config
            .app_data(desk.clone())
            .route("/ready", get().to(async || ok(json!({"status": "ready"}))))
            .route("/api/reserve/{item_id}", post().to(reserve))
            .route("/items/{item_id}", get().to(read_item))
            .route("/items/{item_id}", post().to(set_item))
            .route("/__reset", post().to(reset));
    })
    .await
}

async fn reserve(
    request: HttpRequest,
    desk: Data<Desk>,
    item_id: Path<String>,
    wanted: Json<Reservation>,
) -> Result<HttpResponse, Problem> {
    let payload = serde_json::to_vec(&*wanted).unwrap_or_default();
    let Some(signature) = signature_of(&request) else {
        return Err(Problem::new(StatusCode::BAD_REQUEST, "the signature is no hex"));
    };
    if !is_signed(&desk.secret, &payload, &signature) {
        return Err(Problem::new(StatusCode::UNAUTHORIZED, "bad signature"));
    }
    let mut items = desk.stock.lock().await;
    let stock = items.entry(item_id.into_inner()).or_insert(STOCK);
    if *stock < 1 {
        return Ok(none_left());
    }
    *stock -= 1;
    Ok(ok(json!({"status": "reserved"})))
}

async fn read_item(desk: Data<Desk>, item_id: Path<String>) -> HttpResponse {
    let stock = desk.stock.lock().await.get(item_id.as_str()).copied().unwrap_or(STOCK);
    ok(json!({"stock": stock}))
}

async fn set_item(
    request: HttpRequest,
    desk: Data<Desk>,
    item_id: Path<String>,
    wanted: Json<Stock>,
) -> Result<HttpResponse, Problem> {
    require_loopback(&request)?;
    desk.stock.lock().await.insert(item_id.into_inner(), wanted.stock);
    Ok(HttpResponse::Created().json(json!({"stock": wanted.stock})))
}

async fn reset(request: HttpRequest, desk: Data<Desk>) -> Result<HttpResponse, Problem> {
    require_loopback(&request)?;
    desk.stock.lock().await.clear();
    Ok(ok(json!({"status": "reset"})))
}
