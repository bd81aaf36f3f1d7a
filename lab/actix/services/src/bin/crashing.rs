//! The service that dies, for `python -m bench.crash_matrix`: one guarded route, and a step at every turn of it.
//!
//! Built with the feature `crash-points` alone, and no service of the lab. It says on standard output where it listens;
//! a line "arm STEP COUNT" on standard input tells it when to die, and the end of standard input that it is over.
//! Its argument is the defence that is taken away: "elsewhere", the handler writes on a connection of its own; or "".

use std::hash::{BuildHasher, Hasher, RandomState};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use std::{env, io, process, thread};

use actix_web::body::{BodySize, MessageBody};
use actix_web::dev::Service;
use actix_web::web::{self, Bytes, Data, post};
use actix_web::{App, HttpResponse, HttpServer};
use lab_actix::wanted::Name;
use serde::Deserialize;
use serde_json::json;
use sqlx::{PgConnection, PgPool, query};
use tocsin_actix::{Guard, Guarded, KeyRing, Refused, Scheme, Secret, connect, crash};
use tokio::time::sleep;

/// What the handler does besides writing. Meanwhile others come.
const WORK: Duration = Duration::from_millis(1);

#[derive(Deserialize)]
struct Order {
    order_id: Name,
}

#[actix_web::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pool = connect(&env::var("CRASHING_DATABASE")?, 32)?;
    let secret = env::var("CRASHING_SECRET")?;
    let keys = KeyRing::new(vec![Secret::new(secret.as_bytes(), "")?])?;
    let orders = Guard::new(Scheme::hex_sha256_body(), keys, pool.clone()).operation_by("/order", "/order_id")?;
    let app = move || {
        let order = web::resource("/order").app_data(orders.clone()).app_data(Data::new(pool.clone()));
        App::new().service(order.route(post().to(take_order))).wrap_fn(|request, service| {
            let answered = service.call(request);
            async { Ok(answered.await?.map_body(|_, body| Halved::new(body))) }
        })
    };
    let server = HttpServer::new(app).workers(2).disable_signals().bind(("127.0.0.1", 0))?;
    println!("listening {}", server.addrs()[0].port());
    thread::spawn(obey);
    Ok(server.run().await?)
}

/// Whatever is said on standard input, until there is nobody any more to say it.
fn obey() {
    for line in io::stdin().lines().map_while(Result::ok) {
        if let ["arm", step, count] = line.split(' ').collect::<Vec<_>>()[..] {
            crash::arm(step, count.parse().unwrap_or(1));
        }
    }
    process::abort();
}

async fn take_order(request: Guarded, pool: Data<PgPool>) -> Result<HttpResponse, Refused> {
    let wanted: Order = request.json()?;
    let writes_elsewhere = env::args().nth(1).is_some_and(|twin| twin == "elsewhere");
    let handler = async |tx: &mut PgConnection| {
        crash::reached("BEFORE_WRITE");
        let insert = query("INSERT INTO orders (order_id) VALUES ($1)").bind(wanted.order_id.as_str());
        if writes_elsewhere {
            insert.execute(&**pool).await?;
        } else {
            insert.execute(tx).await?;
        }
        sleep(WORK).await;
        crash::reached("AFTER_WRITE");
        // No two of them the same.
        let receipt = RandomState::new().build_hasher().finish();
        Ok(HttpResponse::Created().json(json!({"receipt": format!("{receipt:016x}")})))
    };
    Ok(request.once(handler).await)
}

/// A body that is sent in two parts, with a step in between.
struct Halved {
    whole: Pin<Box<dyn MessageBody<Error = Box<dyn std::error::Error>>>>,
    size: BodySize,
    rest: Option<Bytes>,
    is_first_sent: bool,
}

impl Halved {
    fn new(body: impl MessageBody + 'static) -> Self {
        let size = body.size();
        Self { whole: Box::pin(body.boxed()), size, rest: None, is_first_sent: false }
    }
}

impl MessageBody for Halved {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        self.size
    }

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        if self.is_first_sent {
            // What was sent is on its way: the server flushes whenever a body has no more for the moment.
            crash::reached("ANSWER");
            self.is_first_sent = false;
            return Poll::Ready(self.rest.take().map(Ok));
        }
        match &mut self.rest {
            Some(_) => {
                self.is_first_sent = true;
                context.waker().wake_by_ref();
                Poll::Pending
            }
            None => match self.whole.as_mut().poll_next(context) {
                Poll::Ready(Some(Ok(mut part))) => {
                    let first = part.split_to(part.len().min(1));
                    self.rest = Some(part);
                    Poll::Ready(Some(Ok(first)))
                }
                other => other,
            },
        }
    }
}
