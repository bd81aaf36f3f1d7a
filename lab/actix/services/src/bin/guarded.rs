//! The routes of `vulnerable` behind tocsin-actix: claim, writes and stored answer are one commit.
//!
//! The handlers say what an order or a transfer does, and nothing about races or copies: whatever they write on `tx`
//! happens once for each message, or not at all.

use actix_web::web::{self, Path, post};
use actix_web::{HttpResponse, Resource};
use lab_actix::wanted::{Name, Order, Payment, Redemption, Reservation, Transfer};
use lab_actix::{Desk, none_left, not_found, ok, serve};
use serde_json::json;
use sqlx::{PgConnection, query, query_scalar};
use tocsin_actix::{Failed, Guard, Guarded, KeyRing, Operation, Refused, Scheme, Secret, migrate};

type Answered = Result<HttpResponse, Refused>;

#[actix_web::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let desk = Desk::open().await?;
    migrate(&desk.pool).await?;
    let keys = KeyRing::new(vec![Secret::new(&desk.secret, "lab")?])?;
    let guard = Guard::new(Scheme::tocsin_v1(), keys, desk.pool.clone());
    let orders = guard.operation_by("/order", "/order_id")?;
    let reservations = guard.operation_by("/api/reserve/{item}", "/reservation_id")?;
    let payments = guard.operation_by("/webhooks/payment", "/event_id")?;
    let transfers = guard.operation_by("/transfer", "/transfer_id")?;
    // Told apart by its Idempotency-Key, the scheme's own message id.
    let redemptions = guard.operation("/coupon/redeem")?;
    serve(move |config| {
        desk.routes(config);
        config
            .service(resource("/order", &orders).route(post().to(order)))
            .service(resource("/api/reserve/{item}", &reservations).route(post().to(reserve)))
            .service(resource("/webhooks/payment", &payments).route(post().to(payment)))
            .service(resource("/transfer", &transfers).route(post().to(transfer)))
            .service(resource("/coupon/redeem", &redemptions).route(post().to(redeem)));
    })
    .await
}

fn resource(path: &str, operation: &Operation) -> Resource {
    web::resource(path).app_data(operation.clone())
}

async fn order(request: Guarded) -> Answered {
    let wanted: Order = request.json()?;
    let handler = async |tx: &mut PgConnection| {
        take_piece(tx, wanted.item.as_str()).await?;
        let insert = query("INSERT INTO orders VALUES ($1, $2, $3)");
        let insert = insert.bind(wanted.order_id.as_str()).bind(wanted.item.as_str()).bind(wanted.qty.0);
        insert.execute(&mut *tx).await?;
        processed(tx).await
    };
    Ok(request.once(handler).await)
}

async fn reserve(request: Guarded, item: Path<Name>) -> Answered {
    let wanted: Reservation = request.json()?;
    let handler = async |tx: &mut PgConnection| {
        take_piece(tx, item.as_str()).await?;
        let insert = query("INSERT INTO reservations VALUES ($1, $2)");
        insert.bind(wanted.reservation_id.as_str()).bind(item.as_str()).execute(&mut *tx).await?;
        processed(tx).await
    };
    Ok(request.once(handler).await)
}

async fn payment(request: Guarded) -> Answered {
    let wanted: Payment = request.json()?;
    let handler = async |tx: &mut PgConnection| {
        let (account, seq, amount) = (wanted.account.as_str(), wanted.seq.0, wanted.amount.0);
        // The condition is part of the write: nothing can change between looking at the number and setting it.
        let update = query("UPDATE accounts SET balance = balance + $1, seq = $2 WHERE id = $3 AND seq < $2");
        let update = update.bind(amount).bind(seq).bind(account);
        if update.execute(&mut *tx).await?.rows_affected() == 0 {
            let known = query("SELECT 1 FROM accounts WHERE id = $1").bind(account).fetch_optional(&mut *tx).await?;
            let newer = || HttpResponse::Conflict().json(json!({"error": "a newer event has been applied"}));
            return Err(Failed::Refused(known.map_or_else(not_found, |_| newer())));
        }
        let insert = query("INSERT INTO events VALUES ($1, $2, $3)");
        insert.bind(wanted.event_id.as_str()).bind(account).bind(amount).execute(&mut *tx).await?;
        processed(tx).await
    };
    Ok(request.once(handler).await)
}

async fn transfer(request: Guarded) -> Answered {
    let wanted: Transfer = request.json()?;
    let handler = async |tx: &mut PgConnection| {
        let (source, target, amount) = (wanted.source.as_str(), wanted.target.as_str(), wanted.amount.0);
        let pay = query("UPDATE accounts SET balance = balance - $1 WHERE id = $2 AND balance >= $1");
        if pay.bind(amount).bind(source).execute(&mut *tx).await?.rows_affected() == 0 {
            return Err(Failed::Refused(none_left()));
        }
        let receive = query("UPDATE accounts SET balance = balance + $1 WHERE id = $2");
        if receive.bind(amount).bind(target).execute(&mut *tx).await?.rows_affected() == 0 {
            // What has been paid is undone.
            return Err(Failed::Refused(not_found()));
        }
        let insert = query("INSERT INTO transfers VALUES ($1, $2, $3, $4)").bind(wanted.transfer_id.as_str());
        insert.bind(source).bind(target).bind(amount).execute(&mut *tx).await?;
        processed(tx).await
    };
    Ok(request.once(handler).await)
}

async fn redeem(request: Guarded) -> Answered {
    let wanted: Redemption = request.json()?;
    let handler = async |tx: &mut PgConnection| {
        let update = query("UPDATE coupons SET uses = uses - 1 WHERE id = $1 AND uses > 0");
        if update.bind(wanted.coupon.as_str()).execute(&mut *tx).await?.rows_affected() == 0 {
            return Err(Failed::Refused(none_left()));
        }
        let insert = query("INSERT INTO redemptions VALUES ($1, $2)");
        insert.bind(wanted.redemption_id.as_str()).bind(wanted.coupon.as_str()).execute(&mut *tx).await?;
        processed(tx).await
    };
    Ok(request.once(handler).await)
}

async fn take_piece(tx: &mut PgConnection, item: &str) -> Result<(), Failed> {
    let update = query("UPDATE items SET stock = stock - 1 WHERE id = $1 AND stock > 0");
    match update.bind(item).execute(tx).await?.rows_affected() {
        0 => Err(Failed::Refused(none_left())),
        _ => Ok(()),
    }
}

/// Made anew whenever a handler runs: a duplicate that shows the same receipt has not run it.
async fn processed(tx: &mut PgConnection) -> Result<HttpResponse, Failed> {
    let receipt: String = query_scalar("SELECT gen_random_uuid()::text").fetch_one(tx).await?;
    Ok(ok(json!({"status": "processed", "receipt": receipt})))
}
