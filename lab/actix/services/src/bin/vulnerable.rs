//! Five routes as they are often written: verify the signature, look, then write.
//!
//! Every statement borrows a connection of the pool and commits by itself. No transaction, no unique constraint, no
//! lock: what lies between the SELECT and the writes is the race window, as wide as the database calls make it. No
//! sleeps.

use actix_web::http::StatusCode;
use actix_web::web::{Bytes, Data, Path, post};
use actix_web::{HttpRequest, HttpResponse};
use lab_actix::wanted::{Name, Order, Payment, Redemption, Reservation, Transfer};
use lab_actix::{Desk, Problem, is_signed, none_left, not_found, ok, serve, signature_of};
use serde::de::DeserializeOwned;
use serde_json::json;
use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::{Postgres, Row, query};

type Answered = Result<HttpResponse, Problem>;

#[actix_web::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let desk = Desk::open().await?;
    serve(move |config| {
        desk.routes(config);
        config
            .route("/order", post().to(order))
            .route("/api/reserve/{item}", post().to(reserve))
            .route("/webhooks/payment", post().to(payment))
            .route("/transfer", post().to(transfer))
            .route("/coupon/redeem", post().to(redeem));
    })
    .await
}

/// The body, once its signature has been compared.
fn verified<T: DeserializeOwned>(desk: &Desk, request: &HttpRequest, body: &[u8]) -> Result<T, Problem> {
    let signature = signature_of(request).unwrap_or_default();
    if !is_signed(&desk.secret, body, &signature) {
        return Err(Problem::new(StatusCode::UNAUTHORIZED, "bad signature"));
    }
    serde_json::from_slice(body).map_err(|error| Problem::new(StatusCode::BAD_REQUEST, &error.to_string()))
}

async fn order(request: HttpRequest, desk: Data<Desk>, body: Bytes) -> Answered {
    let wanted: Order = verified(&desk, &request, &body)?;
    if is_there(&desk, query("SELECT 1 FROM orders WHERE order_id = $1").bind(wanted.order_id.as_str())).await? {
        return Ok(duplicate());
    }
    let Some(stock) = number(&desk, "SELECT stock::bigint FROM items WHERE id = $1", &wanted.item).await? else {
        return Ok(not_found());
    };
    if stock < 1 {
        return Ok(none_left());
    }
    // Whoever got here believes that the order is new and the piece is there, however many they are.
    let insert = query("INSERT INTO orders VALUES ($1, $2, $3)");
    insert.bind(wanted.order_id.as_str()).bind(wanted.item.as_str()).bind(wanted.qty.0).execute(&desk.pool).await?;
    // Between the two, everybody sees a piece that is both sold and in stock.
    let update = query("UPDATE items SET stock = stock - 1 WHERE id = $1");
    update.bind(wanted.item.as_str()).execute(&desk.pool).await?;
    Ok(processed())
}

async fn reserve(request: HttpRequest, desk: Data<Desk>, item: Path<Name>, body: Bytes) -> Answered {
    let wanted: Reservation = verified(&desk, &request, &body)?;
    let name = wanted.reservation_id.as_str();
    if is_there(&desk, query("SELECT 1 FROM reservations WHERE reservation_id = $1").bind(name)).await? {
        return Ok(duplicate());
    }
    let Some(stock) = number(&desk, "SELECT stock::bigint FROM items WHERE id = $1", &item).await? else {
        return Ok(not_found());
    };
    if stock < 1 {
        return Ok(none_left());
    }
    query("INSERT INTO reservations VALUES ($1, $2)").bind(name).bind(item.as_str()).execute(&desk.pool).await?;
    let update = query("UPDATE items SET stock = stock - 1 WHERE id = $1");
    update.bind(item.as_str()).execute(&desk.pool).await?;
    Ok(processed())
}

async fn payment(request: HttpRequest, desk: Data<Desk>, body: Bytes) -> Answered {
    let wanted: Payment = verified(&desk, &request, &body)?;
    if is_there(&desk, query("SELECT 1 FROM events WHERE event_id = $1").bind(wanted.event_id.as_str())).await? {
        return Ok(duplicate());
    }
    let Some(seq) = number(&desk, "SELECT seq FROM accounts WHERE id = $1", &wanted.account).await? else {
        return Ok(not_found());
    };
    if wanted.seq.0 <= seq {
        return Ok(HttpResponse::Conflict().json(json!({"error": "a newer event has been applied"})));
    }
    let insert = query("INSERT INTO events VALUES ($1, $2, $3)");
    let insert = insert.bind(wanted.event_id.as_str()).bind(wanted.account.as_str()).bind(wanted.amount.0);
    insert.execute(&desk.pool).await?;
    // Of two events that were both newer than the applied one, the one that writes last stays.
    let update = query("UPDATE accounts SET balance = balance + $1, seq = $2 WHERE id = $3");
    update.bind(wanted.amount.0).bind(wanted.seq.0).bind(wanted.account.as_str()).execute(&desk.pool).await?;
    Ok(processed())
}

async fn transfer(request: HttpRequest, desk: Data<Desk>, body: Bytes) -> Answered {
    let wanted: Transfer = verified(&desk, &request, &body)?;
    if is_there(&desk, query("SELECT 1 FROM transfers WHERE transfer_id = $1").bind(wanted.transfer_id.as_str()))
        .await?
    {
        return Ok(duplicate());
    }
    let balance = "SELECT balance FROM accounts WHERE id = $1";
    let source = number(&desk, balance, &wanted.source).await?;
    let target = number(&desk, balance, &wanted.target).await?;
    let (Some(source), Some(target)) = (source, target) else { return Ok(not_found()) };
    if source < wanted.amount.0 {
        return Ok(none_left());
    }
    let insert = query("INSERT INTO transfers VALUES ($1, $2, $3, $4)").bind(wanted.transfer_id.as_str());
    let insert = insert.bind(wanted.source.as_str()).bind(wanted.target.as_str()).bind(wanted.amount.0);
    insert.execute(&desk.pool).await?;
    // What was read is written back: of two transfers at once, one is lost on either side.
    let update = "UPDATE accounts SET balance = $1 WHERE id = $2";
    for (account, balance) in [(wanted.source, source - wanted.amount.0), (wanted.target, target + wanted.amount.0)] {
        query(update).bind(balance).bind(account.as_str()).execute(&desk.pool).await?;
    }
    Ok(processed())
}

async fn redeem(request: HttpRequest, desk: Data<Desk>, body: Bytes) -> Answered {
    let wanted: Redemption = verified(&desk, &request, &body)?;
    let name = wanted.redemption_id.as_str();
    if is_there(&desk, query("SELECT 1 FROM redemptions WHERE redemption_id = $1").bind(name)).await? {
        return Ok(duplicate());
    }
    let Some(uses) = number(&desk, "SELECT uses::bigint FROM coupons WHERE id = $1", &wanted.coupon).await? else {
        return Ok(not_found());
    };
    if uses < 1 {
        return Ok(none_left());
    }
    let insert = query("INSERT INTO redemptions VALUES ($1, $2)");
    insert.bind(name).bind(wanted.coupon.as_str()).execute(&desk.pool).await?;
    let update = query("UPDATE coupons SET uses = uses - 1 WHERE id = $1");
    update.bind(wanted.coupon.as_str()).execute(&desk.pool).await?;
    Ok(processed())
}

async fn is_there(desk: &Desk, select: Query<'_, Postgres, PgArguments>) -> Result<bool, sqlx::Error> {
    Ok(select.fetch_optional(&desk.pool).await?.is_some())
}

async fn number(desk: &Desk, select: &str, name: &Name) -> Result<Option<i64>, sqlx::Error> {
    let row = query(select).bind(name.as_str()).fetch_optional(&desk.pool).await?;
    Ok(row.map(|row| row.get(0)))
}

fn processed() -> HttpResponse {
    ok(json!({"status": "processed"}))
}

fn duplicate() -> HttpResponse {
    ok(json!({"status": "duplicate"}))
}
