//! Reservations as a published remedy has them: a database transaction that locks the item's row.
//!
//! As published: the JSON extractor runs before anything is verified; the signature is over the payload serialised
//! again; and nothing remembers a message.

use actix_web::http::StatusCode;
use actix_web::web::{Data, Json, post};
use actix_web::{HttpRequest, HttpResponse};
use lab_actix::wanted::Name;
use lab_actix::{Desk, Problem, is_signed, none_left, not_found, ok, serve, signature_of};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::{Row, query};

#[derive(Deserialize, Serialize)]
struct Reservation {
    request_id: Name,
    item_id: Name,
}

#[actix_web::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let desk = Desk::open().await?;
    serve(move |config| {
        desk.routes(config);
        config.route("/api/reserve", post().to(reserve));
    })
    .await
}

async fn reserve(request: HttpRequest, desk: Data<Desk>, wanted: Json<Reservation>) -> Result<HttpResponse, Problem> {
    let payload = serde_json::to_vec(&*wanted).unwrap_or_default();
    let Some(signature) = signature_of(&request) else {
        return Err(Problem::new(StatusCode::BAD_REQUEST, "the signature is no hex"));
    };
    if !is_signed(&desk.secret, &payload, &signature) {
        return Err(Problem::new(StatusCode::UNAUTHORIZED, "bad signature"));
    }
    let mut transaction = desk.pool.begin().await?;
    // The row stays locked until COMMIT: whoever looks next sees what was written.
    let select = query("SELECT stock FROM items WHERE id = $1 FOR UPDATE").bind(wanted.item_id.as_str());
    let Some(row) = select.fetch_optional(&mut *transaction).await? else { return Ok(not_found()) };
    if row.get::<i32, _>(0) < 1 {
        return Ok(none_left());
    }
    let update = query("UPDATE items SET stock = stock - 1 WHERE id = $1").bind(wanted.item_id.as_str());
    update.execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(ok(json!({"status": "reserved"})))
}
