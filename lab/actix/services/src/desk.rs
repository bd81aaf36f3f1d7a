//! The database of the services, and the routes that all of them have.

use actix_web::web::{Data, Json, Path, ServiceConfig, get, post};
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;
use serde_json::{Value, json};
use sqlx::postgres::PgRow;
use sqlx::{Executor, PgPool, Row};

use crate::wanted::Name;
use crate::{Problem, not_found, ok, require_loopback};

/// `items` and `orders` are those of the FastAPI services, so that both can work on one database.
const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS items (id TEXT PRIMARY KEY, stock INTEGER NOT NULL);
    CREATE TABLE IF NOT EXISTS orders (order_id TEXT, item TEXT, qty INTEGER);
    CREATE TABLE IF NOT EXISTS reservations (reservation_id TEXT, item TEXT);
    CREATE TABLE IF NOT EXISTS accounts (id TEXT PRIMARY KEY, balance BIGINT NOT NULL, seq BIGINT NOT NULL);
    CREATE TABLE IF NOT EXISTS events (event_id TEXT, account TEXT, amount BIGINT);
    CREATE TABLE IF NOT EXISTS transfers (transfer_id TEXT, source TEXT, target TEXT, amount BIGINT);
    CREATE TABLE IF NOT EXISTS coupons (id TEXT PRIMARY KEY, uses INTEGER NOT NULL);
    CREATE TABLE IF NOT EXISTS redemptions (redemption_id TEXT, coupon TEXT);
";
const RESET: &str = "TRUNCATE items, orders, reservations, accounts, events, transfers, coupons, redemptions";

/// What a service needs to answer a request.
#[derive(Clone)]
pub struct Desk {
    /// The shared secret.
    pub secret: Vec<u8>,
    /// Connections to its database.
    pub pool: PgPool,
}

impl Desk {
    /// A desk on the database of the environment, its tables made.
    ///
    /// # Errors
    ///
    /// A variable is not set, or the database cannot be reached.
    pub async fn open() -> Result<Self, Box<dyn std::error::Error>> {
        let secret = std::env::var("LAB_SECRET")?.into_bytes();
        let pool = tocsin_actix::connect(&std::env::var("LAB_DATABASE")?, 32)?;
        pool.execute(TABLES).await?;
        Ok(Self { secret, pool })
    }

    /// The routes for reading, setting up and resetting.
    pub fn routes(&self, config: &mut ServiceConfig) {
        config
            .app_data(Data::new(self.clone()))
            .route("/ready", get().to(ready))
            .route("/items/{name}", get().to(read_item))
            .route("/orders/{name}", get().to(read_order))
            .route("/accounts/{name}", get().to(read_account))
            .route("/coupons/{name}", get().to(read_coupon))
            .route("/items", post().to(create_item))
            .route("/accounts", post().to(create_account))
            .route("/coupons", post().to(create_coupon))
            .route("/__reset", post().to(reset));
    }

    /// One statement about the thing of that name; 404 where it gives no row.
    async fn read(&self, statement: &str, name: &Name, told: fn(&PgRow) -> Value) -> Result<HttpResponse, Problem> {
        let row = sqlx::query(statement).bind(name.as_str()).fetch_optional(&self.pool).await?;
        Ok(row.map_or_else(not_found, |row| ok(told(&row))))
    }

    /// A thing that nobody has had before; the answer's one member holds its name.
    async fn create(&self, kind: &str, prefix: &str, statement: &str, number: i64) -> Result<HttpResponse, Problem> {
        let query = sqlx::query_scalar("SELECT $1 || left(replace(gen_random_uuid()::text, '-', ''), 12)");
        let name: String = query.bind(prefix).fetch_one(&self.pool).await?;
        sqlx::query(statement).bind(&name).bind(number).execute(&self.pool).await?;
        Ok(HttpResponse::Created().json(json!({kind: name})))
    }
}

#[derive(Deserialize)]
struct Item {
    stock: i32,
}

#[derive(Deserialize)]
struct Account {
    balance: i64,
}

#[derive(Deserialize)]
struct Coupon {
    uses: i32,
}

async fn ready(desk: Data<Desk>) -> Result<HttpResponse, Problem> {
    desk.pool.execute("SELECT 1 FROM orders LIMIT 1").await?;
    Ok(ok(json!({"status": "ready"})))
}

async fn read_item(desk: Data<Desk>, name: Path<Name>) -> Result<HttpResponse, Problem> {
    // One statement, so that what it shows was true at one moment.
    let statement = "SELECT stock, (SELECT count(*) FROM orders WHERE item = items.id),
                     (SELECT count(*) FROM reservations WHERE item = items.id) FROM items WHERE id = $1";
    let told = |row: &PgRow| {
        let (stock, sold, reserved): (i32, i64, i64) = (row.get(0), row.get(1), row.get(2));
        json!({"stock": stock, "sold": sold, "reserved": reserved})
    };
    desk.read(statement, &name, told).await
}

async fn read_order(desk: Data<Desk>, name: Path<Name>) -> Result<HttpResponse, Problem> {
    let statement = "SELECT count(*) FROM orders WHERE order_id = $1";
    desk.read(statement, &name, |row| json!({"count": row.get::<i64, _>(0)})).await
}

async fn read_account(desk: Data<Desk>, name: Path<Name>) -> Result<HttpResponse, Problem> {
    // How much it has paid is what its transfers say.
    let statement = "SELECT balance, seq, (SELECT coalesce(sum(amount), 0)::bigint FROM transfers
                     WHERE source = accounts.id) FROM accounts WHERE id = $1";
    let told = |row: &PgRow| {
        let (balance, seq, paid): (i64, i64, i64) = (row.get(0), row.get(1), row.get(2));
        json!({"balance": balance, "seq": seq, "paid": paid})
    };
    desk.read(statement, &name, told).await
}

async fn read_coupon(desk: Data<Desk>, name: Path<Name>) -> Result<HttpResponse, Problem> {
    let statement =
        "SELECT uses, (SELECT count(*) FROM redemptions WHERE coupon = coupons.id) FROM coupons WHERE id = $1";
    let told = |row: &PgRow| json!({"left": row.get::<i32, _>(0), "redeemed": row.get::<i64, _>(1)});
    desk.read(statement, &name, told).await
}

async fn create_item(request: HttpRequest, desk: Data<Desk>, item: Json<Item>) -> Result<HttpResponse, Problem> {
    require_loopback(&request)?;
    desk.create("item", "sku-", "INSERT INTO items VALUES ($1, $2)", i64::from(item.stock)).await
}

async fn create_account(
    request: HttpRequest,
    desk: Data<Desk>,
    account: Json<Account>,
) -> Result<HttpResponse, Problem> {
    require_loopback(&request)?;
    desk.create("account", "acc-", "INSERT INTO accounts VALUES ($1, $2, 0)", account.balance).await
}

async fn create_coupon(request: HttpRequest, desk: Data<Desk>, coupon: Json<Coupon>) -> Result<HttpResponse, Problem> {
    require_loopback(&request)?;
    desk.create("coupon", "cpn-", "INSERT INTO coupons VALUES ($1, $2)", i64::from(coupon.uses)).await
}

/// Forget everything but the guard's claims: what was applied once is never applied again.
async fn reset(request: HttpRequest, desk: Data<Desk>) -> Result<HttpResponse, Problem> {
    require_loopback(&request)?;
    desk.pool.execute(RESET).await?;
    Ok(ok(json!({"status": "reset"})))
}
