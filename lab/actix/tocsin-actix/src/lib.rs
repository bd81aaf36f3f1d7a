//! Signed requests that take effect once, for actix-web on PostgreSQL.
//!
//! The signature is checked over the raw body before anything is parsed. Then the claim that this message has been
//! applied, the handler's own writes and the answer that duplicates will get are one commit:
//!
//! ```no_run
//! use actix_web::{App, HttpResponse, HttpServer, web};
//! use tocsin_actix::{Guard, Guarded, KeyRing, Refused, Scheme, Secret, connect, migrate};
//!
//! async fn order(request: Guarded) -> Result<HttpResponse, Refused> {
//!     let item: String = request.json::<serde_json::Value>()?["item"].to_string();
//!     let answer = request.once(async |tx| {
//!         sqlx::query("UPDATE items SET stock = stock - 1 WHERE id = $1").bind(&item).execute(tx).await?;
//!         Ok(HttpResponse::Ok().body("processed"))
//!     });
//!     Ok(answer.await)
//! }
//!
//! #[actix_web::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let pool = connect("postgresql://orders@localhost/orders", 16)?;
//!     migrate(&pool).await?;
//!     let keys = KeyRing::new(vec![Secret::new(b"correct-horse-battery", "k1")?])?;
//!     let orders = Guard::new(Scheme::tocsin_v1(), keys, pool).operation_by("/order", "/order_id")?;
//!     let app = move || {
//!         App::new().service(web::resource("/order").app_data(orders.clone()).route(web::post().to(order)))
//!     };
//!     Ok(HttpServer::new(app).bind(("127.0.0.1", 8080))?.run().await?)
//! }
//! ```
//!
//! Tables, keys, fingerprints and answers are those of the Python package `tocsin.guard`, so services of both kinds can
//! share one database: a message that one of them has applied is answered by the other from what is stored.
//!
//! LIMIT: three schemes (`tocsin-v1`, `hex-sha256-timestamp-body`, `hex-sha256-body`); answers that are not encrypted;
//! integers of at most 64 bits as keys; no pooler in transaction mode before the server; expired claims are let go one by one as their keys come again, and all at once
//! by `tocsin claims prune`.

/// A step of a request at which the crash matrix ends the process; without the feature `crash-points` nothing at all.
macro_rules! crash_point {
    ($step:literal) => {
        #[cfg(feature = "crash-points")]
        crate::crash::reached($step);
    };
}

mod answer;
mod claim;
#[cfg(feature = "crash-points")]
pub mod crash;
mod guard;
mod identifier;
mod keys;
mod line;
mod message;
mod once;
mod problem;
mod request;
mod scheme;
mod sql;
mod store;
mod verify;

pub use claim::{claim_key, fingerprint};
pub use guard::{Guard, GuardError, Limits, Operation};
pub use identifier::Identifier;
pub use keys::{KeyRing, Secret};
pub use message::Message;
pub use once::Failed;
pub use request::{Guarded, Refused};
pub use scheme::Scheme;
pub use store::{connect, migrate};
pub use verify::{Rejected, Verified, verify};
