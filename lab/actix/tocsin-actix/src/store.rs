//! The table of claims: the one place where a claim is unique.
//!
//! Rule: claim, handler's writes and answer are one transaction; there is no state in between for a crash to find.

use std::time::Duration;

use sqlx::postgres::{PgDatabaseError, PgPoolOptions, PgSeverity};
use sqlx::{Executor, PgPool, Postgres, Row, Transaction, postgres::PgRow};
use tokio::time::{Instant, timeout_at};

use crate::GuardError;
use crate::answer::Answer;
use crate::claim::Claim;
use crate::sql::{CLAIM, FORGET, FORGOTTEN, READ, SCHEMA, SETTINGS, SETTLE};

/// The derivation of keys, in the column `version`.
const KEY_VERSION: i32 = 1;
/// Also when the time is over: to find an old claim, to take the key after it was let go, and some bad luck.
const LEAST_ATTEMPTS: u32 = 4;
/// How long a handler may do nothing in its transaction.
const IDLE_MS: u32 = 60_000;

/// A claim that somebody has committed.
pub(crate) struct Record {
    pub(crate) fingerprint: Option<Vec<u8>>,
    /// None: applied, and the answer is not known.
    pub(crate) status: Option<i32>,
    /// None once they have gone.
    pub(crate) headers: Option<Vec<u8>>,
    /// None once it has gone.
    pub(crate) body: Option<Vec<u8>>,
    answer_until_unix_ms: Option<i64>,
    claim_until_unix_ms: Option<i64>,
}

impl Record {
    fn is_forgettable(&self, now_unix_ms: i64) -> bool {
        self.status.is_some() && self.claim_until_unix_ms.is_some_and(|until| until <= now_unix_ms)
    }

    /// Whether its answer is still to be given.
    pub(crate) fn keeps_answer(&self, now_unix_ms: i64) -> bool {
        self.answer_until_unix_ms.is_none_or(|until| until > now_unix_ms)
    }
}

/// The claim is written, in this open transaction.
pub(crate) struct Granted {
    pub(crate) transaction: Transaction<'static, Postgres>,
    id: String,
}

/// What came of taking a claim.
pub(crate) enum Taken {
    Granted(Granted),
    /// Another one stands in its place.
    Found(Record),
    /// The message is so old that its claim may have been forgotten: a clock has gone back.
    Forgotten,
}

/// Why something did not come to be; nothing of it is left.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// Another process was applying the key until the time was over.
    InUse,
    /// Locked, full or down.
    Unavailable(String),
    /// The database undid it for the sake of another transaction: it may run again.
    Conflict(String),
    /// The handler's transaction does not stand, or cannot be committed.
    Broken(String),
    /// The connection was lost during COMMIT: nobody knows.
    Unknown(String),
}

impl Trouble {
    /// What an error of the handler's own, or of COMMIT, is to the request, by appendix A of PostgreSQL's manual.
    pub(crate) fn of(error: &sqlx::Error) -> Self {
        let text = error.to_string();
        let code = match error {
            sqlx::Error::Database(said) => said.code().unwrap_or_default(),
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed => return Self::Unavailable(text),
            // No row where one was wanted, a column of another type: the handler's own affair.
            _ => return Self::Broken(text),
        };
        match (code.as_ref(), code.get(..2).unwrap_or_default()) {
            ("40001" | "40P01", _) => Self::Conflict(text),
            // A standby, time-outs, a lock; and the classes connection, resources, operator, system, internal.
            ("25006" | "25P03" | "25P04" | "55P03" | "55006", _) | (_, "08" | "53" | "57" | "58" | "XX") => {
                Self::Unavailable(text)
            }
            _ => Self::Broken(text),
        }
    }

    fn of_claim(error: &sqlx::Error) -> Self {
        match answered(error) {
            // A lock on the table has no such context; a lock on the key is met while its index is written.
            Some(said) if said.code() == "55P03" && said.r#where().is_some() => Self::InUse,
            Some(said) if said.code() == "42P01" => {
                Self::Unavailable(format!("{said}; wanted: run tocsin_actix::migrate once"))
            }
            _ => match Self::of(error) {
                Self::Broken(text) => Self::Unavailable(text),
                other => other,
            },
        }
    }
}

/// Connections to a database, ready for a guard.
///
/// # Errors
///
/// The URL cannot be read.
pub fn connect(url: &str, most_connections: u32) -> Result<PgPool, GuardError> {
    let pool = PgPoolOptions::new().max_connections(most_connections).acquire_timeout(Duration::from_secs(2));
    let pool = pool.after_connect(|connection, _| {
        Box::pin(async move {
            // A platform may refuse one of them; the guard holds without.
            if let Err(refused) = sqlx::query(SETTINGS).bind(IDLE_MS.to_string()).execute(connection).await {
                log::warn!("PostgreSQL refuses a setting: {refused}");
            }
            Ok(())
        })
    });
    // Not the error: its text may hold the password.
    pool.connect_lazy(url)
        .map_err(|_| GuardError::new("the URL cannot be read; wanted postgresql://user@host/database"))
}

/// Create the tables that are missing.
///
/// # Errors
///
/// The database refuses, or cannot be reached.
pub async fn migrate(pool: &PgPool) -> Result<(), GuardError> {
    let mut connection = pool.acquire().await.map_err(|error| GuardError::new(error.to_string()))?;
    let made = connection.execute(SCHEMA).await.map_err(|error| GuardError::new(error.to_string()));
    if made.is_err() {
        // Its transaction may still be open.
        drop(connection.detach());
    }
    made.map(|_| ())
}

/// Begin and write the claim, or say what stands in its place. Unless it is written, nothing is left open.
pub(crate) async fn take(pool: &PgPool, claim: &Claim, deadline: Instant) -> Result<Taken, Trouble> {
    let mut attempts = 0;
    while attempts < LEAST_ATTEMPTS || Instant::now() < deadline {
        attempts += 1;
        match attempt(pool, claim, deadline).await {
            Ok(Some(taken)) => return Ok(taken),
            // Whoever conflicts on the claim itself has met somebody who has just committed it.
            Ok(None) | Err(Trouble::Conflict(_)) => {}
            Err(trouble) => return Err(trouble),
        }
        let found = look(pool, &claim.key).await?;
        match found {
            Some(found) if !found.is_forgettable(claim.taken_unix_ms) => return Ok(Taken::Found(found)),
            Some(_) => forget(pool, claim).await?,
            None => {}
        }
    }
    Err(Trouble::Unavailable("others took the key and gave it back until the time was over".into()))
}

async fn attempt(pool: &PgPool, claim: &Claim, deadline: Instant) -> Result<Option<Taken>, Trouble> {
    let crowded = |_| Trouble::Unavailable("every connection was in use until the time was over".into());
    let begun = timeout_at(deadline, pool.begin()).await.map_err(crowded)?;
    let mut transaction = begun.map_err(|error| Trouble::of_claim(&error))?;
    // For lock_timeout, to which 0 means for ever.
    let wait_ms = deadline.saturating_duration_since(Instant::now()).as_millis().max(1);
    let written = sqlx::query(CLAIM)
        .bind(&claim.key[..])
        .bind(KEY_VERSION)
        .bind(&claim.tenant)
        .bind(&claim.operation)
        .bind(&claim.fingerprint)
        .bind(claim.taken_unix_ms)
        .bind(claim.answer_until_unix_ms)
        .bind(claim.claim_until_unix_ms)
        .bind(wait_ms.to_string())
        .fetch_optional(&mut *transaction)
        .await;
    let written = written.map_err(|error| Trouble::of_claim(&error))?;
    let Some(row) = written else { return undone(transaction, None).await };
    let id = column(&row, 0)?;
    if let Some(earliest_unix_ms) = claim.earliest_unix_ms {
        let query = sqlx::query(FORGOTTEN).bind(&claim.tenant).bind(&claim.operation).bind(&claim.key[..]);
        let row = query.fetch_one(&mut *transaction).await.map_err(|error| Trouble::of_claim(&error))?;
        if column::<i64>(&row, 1)? > 1 {
            return undone(transaction, None).await;
        }
        // Only when a clock has gone back is a message within its tolerance, and as old as a claim that was let go.
        if column::<Option<i64>>(&row, 0)?.is_some_and(|forgotten| forgotten >= earliest_unix_ms) {
            return undone(transaction, Some(Taken::Forgotten)).await;
        }
    }
    Ok(Some(Taken::Granted(Granted { transaction, id })))
}

async fn undone(transaction: Transaction<'static, Postgres>, taken: Option<Taken>) -> Result<Option<Taken>, Trouble> {
    transaction.rollback().await.map_err(|error| Trouble::of_claim(&error))?;
    Ok(taken)
}

/// What is committed under the key.
async fn look(pool: &PgPool, key: &[u8; 32]) -> Result<Option<Record>, Trouble> {
    let row = sqlx::query(READ).bind(&key[..]).fetch_optional(pool).await;
    let row = row.map_err(|error| Trouble::of_claim(&error))?;
    row.as_ref().map(record).transpose()
}

async fn forget(pool: &PgPool, claim: &Claim) -> Result<(), Trouble> {
    let gone = sqlx::query(FORGET).bind(&claim.key[..]).bind(claim.taken_unix_ms).execute(pool).await;
    gone.map(|_| ()).map_err(|error| Trouble::of_claim(&error))
}

/// Write the answer beside the claim and commit; no answer may leave before this returns.
pub(crate) async fn settle(mut granted: Granted, key: [u8; 32], answer: &Answer) -> Result<(), Trouble> {
    crash_point!("BEFORE_COMMIT");
    let settled = sqlx::query(SETTLE)
        .bind(i32::from(answer.status.as_u16()))
        .bind(answer.stored_headers())
        .bind(&answer.body[..])
        .bind(&key[..])
        .bind(&granted.id)
        .execute(&mut *granted.transaction)
        .await;
    settled.map_err(|error| Trouble::of(&error))?;
    // A transaction that was aborted has failed above: COMMIT of one would succeed, and say ROLLBACK.
    crash_point!("COMMIT");
    granted.transaction.commit().await.map_err(|error| match answered(&error) {
        // A fatal error ends the connection: it can have come after the commit, or before.
        Some(said) if !matches!(said.severity(), PgSeverity::Fatal | PgSeverity::Panic) => Trouble::of(&error),
        _ => Trouble::Unknown(error.to_string()),
    })?;
    crash_point!("AFTER_COMMIT");
    Ok(())
}

/// What the server said, if it was the server.
fn answered(error: &sqlx::Error) -> Option<&PgDatabaseError> {
    error.as_database_error().and_then(|said| said.try_downcast_ref())
}

/// Roll back everything, claim too, so that a retry runs.
pub(crate) async fn abandon(granted: Granted) {
    if let Err(error) = granted.transaction.rollback().await {
        log::info!("the connection is given up, the server rolls back what was on it: {error}");
    }
}

fn record(row: &PgRow) -> Result<Record, Trouble> {
    Ok(Record {
        fingerprint: column(row, 0)?,
        status: column(row, 1)?,
        headers: column(row, 2)?,
        body: column(row, 3)?,
        answer_until_unix_ms: column(row, 4)?,
        claim_until_unix_ms: column(row, 5)?,
    })
}

fn column<'r, T: sqlx::Decode<'r, Postgres> + sqlx::Type<Postgres>>(row: &'r PgRow, at: usize) -> Result<T, Trouble> {
    row.try_get(at).map_err(|error| Trouble::Unavailable(error.to_string()))
}
