//! How every one of the services listens and stops.

use actix_web::web::ServiceConfig;
use actix_web::{App, HttpServer};
use log::{Level, LevelFilter, Log, Metadata, Record};

/// What the guard says of a request, and what others warn of: to the service's log.
struct StandardError;

impl Log for StandardError {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= Level::Warn || metadata.target().starts_with("tocsin_actix")
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            eprintln!("{} {}", record.level(), record.args());
        }
    }

    fn flush(&self) {}
}

/// Serve on 127.0.0.1, on the port that is the first argument, until a signal stops it.
///
/// # Errors
///
/// No port is given, or it is taken.
pub async fn serve<F>(configure: F) -> Result<(), Box<dyn std::error::Error>>
where
    F: Fn(&mut ServiceConfig) + Clone + Send + 'static,
{
    if log::set_logger(&StandardError).is_ok() {
        log::set_max_level(LevelFilter::Info);
    }
    let port: u16 = std::env::args().nth(1).ok_or("wanted: the port to listen on")?.parse()?;
    let app = move || App::new().configure(configure.clone());
    // Two threads, each with an event loop of its own: enough for races within one and between both.
    let server = HttpServer::new(app).workers(2).shutdown_timeout(1).bind(("127.0.0.1", port))?;
    Ok(server.run().await?)
}
