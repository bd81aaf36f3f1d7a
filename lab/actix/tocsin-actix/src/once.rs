//! What becomes of a verified request: claim, run, settle.
//!
//! Rule: no answer leaves before COMMIT has succeeded; and whatever is not committed as a whole leaves nothing behind, so
//! that a retry runs.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, rt};
use sqlx::PgConnection;
use tokio::time::{Instant, sleep, timeout_at};

use crate::answer::Answer;
use crate::claim::differ;
use crate::line::{Joined, Place};
use crate::problem;
use crate::request::Guarded;
use crate::store::{self, Granted, Record, Taken, Trouble};

/// A commit whose outcome was unknown, and then turned out not to be there, is tried once more.
const MOST_COMMITS: u32 = 2;
/// How often a handler runs whose transaction conflicts with others.
const MOST_RUNS: u32 = 6;
const FIRST_PAUSE_US: u64 = 5_000;
/// Statuses below 500 that tell a client to try the same thing again, and so must not be remembered.
const TRY_AGAIN: [u16; 4] = [408, 423, 425, 429];

/// Why a handler gives up; its writes are undone.
#[derive(Debug)]
pub enum Failed {
    /// An answer below 500 that duplicates get as well: "out of stock".
    Refused(HttpResponse),
    /// The database's error. If it was for the sake of another transaction the handler runs again.
    Store(sqlx::Error),
}

impl From<sqlx::Error> for Failed {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error)
    }
}

impl Guarded {
    /// Run the handler if this is the first request of its kind; else answer what the first one was answered.
    ///
    /// What the handler writes on the connection, the claim and the answer are one commit. It may run again where its
    /// transaction conflicts with another one, so it has no effects of its own. It neither commits nor rolls back: what
    /// that leaves is answered 500.
    pub async fn once<F>(self, mut handler: F) -> HttpResponse
    where
        F: AsyncFnMut(&mut PgConnection) -> Result<HttpResponse, Failed>,
    {
        let (mut commits, mut runs) = (0, 0);
        loop {
            let (place, granted) = match self.taken().await {
                Ok(taken) => taken,
                Err(Stopped::InUse) if commits == 0 => return self.ended("in progress", problem::in_progress()),
                // What holds the key may be this request's own lost commit.
                Err(Stopped::InUse) => return self.ended("outcome of COMMIT unknown", problem::unavailable()),
                Err(Stopped::Answer(answer)) => return answer.into_response(),
            };
            match self.run(place, granted, &mut handler).await {
                Ok(answer) => return answer,
                Err(Trouble::Conflict(reason)) => {
                    runs += 1;
                    if runs == MOST_RUNS {
                        return self.ended(&format!("it ran {runs} times: {reason}"), problem::unavailable());
                    }
                    sleep(pause(runs)).await;
                }
                // Only taking the claim again tells: a plain read can run before the lost commit lands.
                Err(Trouble::Unknown(reason)) => {
                    commits += 1;
                    if commits == MOST_COMMITS {
                        return self.ended(&reason, problem::unavailable());
                    }
                }
                Err(Trouble::Broken(reason)) => return self.ended(&reason, problem::broken()),
                Err(Trouble::Unavailable(reason)) => return self.ended(&reason, problem::unavailable()),
                Err(Trouble::InUse) => return self.ended("in progress", problem::in_progress()),
            }
        }
    }

    /// The right to apply the claim, or what to answer instead.
    async fn taken(&self) -> Result<(Place, Granted), Stopped> {
        let declared = &self.operation.0;
        let deadline = Instant::now() + declared.limits.wait;
        let place = self.first_in_line(deadline).await?;
        match store::take(&declared.pool, &self.claim, deadline).await {
            Ok(Taken::Granted(granted)) => {
                crash_point!("CLAIM");
                Ok((place, granted))
            }
            Ok(Taken::Found(record)) => Err(self.settled_before(record).into()),
            Ok(Taken::Forgotten) => {
                log::warn!("{}: rejected: older than a claim that was forgotten; the clock went back", declared.name);
                Err(problem::unauthorized().into())
            }
            Err(Trouble::InUse) => Err(Stopped::InUse),
            Err(trouble) => {
                log::error!("{}: store unavailable: {trouble:?}", declared.name);
                Err(problem::unavailable().into())
            }
        }
    }

    async fn first_in_line(&self, deadline: Instant) -> Result<Place, Stopped> {
        loop {
            let (running, wait) = match self.operation.0.line.join(&self.claim) {
                Joined::First(place) => return Ok(place),
                Joined::Behind(running, wait) => (running, Some(wait)),
                Joined::Crowded(running) => (running, None),
            };
            if differ(Some(&running), &self.claim.fingerprint) {
                return Err(problem::mismatch().into());
            }
            let Some(wait) = wait else { return Err(problem::crowded().into()) };
            if timeout_at(deadline, wait.over()).await.is_err() {
                return Err(Stopped::InUse);
            }
        }
    }

    /// The answer that a committed claim decides.
    fn settled_before(&self, record: Record) -> Answer {
        if differ(record.fingerprint.as_deref(), &self.claim.fingerprint) {
            return problem::mismatch();
        }
        let Some(status) = record.status else { return problem::answer_unknown() };
        let keeps_answer = record.keeps_answer(self.claim.taken_unix_ms);
        let answer = match (record.headers, record.body) {
            (Some(headers), Some(body)) if keeps_answer => Answer::replayed(status, &headers, body),
            _ => Answer::replayed_status(status),
        };
        answer.unwrap_or_else(problem::answer_unknown)
    }

    async fn run<F>(&self, place: Place, mut granted: Granted, handler: &mut F) -> Result<HttpResponse, Trouble>
    where
        F: AsyncFnMut(&mut PgConnection) -> Result<HttpResponse, Failed>,
    {
        let most_bytes = self.operation.0.limits.max_answer_bytes;
        let (response, is_refusal) = match handler(&mut granted.transaction).await {
            Ok(response) => (response, false),
            Err(Failed::Refused(response)) => (response, true),
            Err(Failed::Store(error)) => {
                store::abandon(granted).await;
                return Err(Trouble::of(&error));
            }
        };
        if !is_remembered(response.status()) {
            store::abandon(granted).await;
            return Ok(response);
        }
        let Some(answer) = Answer::produced(response, most_bytes).await else {
            store::abandon(granted).await;
            return Ok(problem::answer_too_large(most_bytes).into_response());
        };
        if !is_refusal {
            return self.settled(place, granted, answer).await;
        }
        // Undone first and remembered then, in a transaction of its own: an answer of which nothing was applied.
        store::abandon(granted).await;
        drop(place);
        match self.taken().await {
            Ok((place, granted)) => self.settled(place, granted, answer).await,
            Err(Stopped::Answer(answer)) => Ok(answer.into_response()),
            Err(Stopped::InUse) => Err(Trouble::InUse),
        }
    }

    async fn settled(&self, place: Place, granted: Granted, answer: Answer) -> Result<HttpResponse, Trouble> {
        let key = self.claim.key;
        // In a task of its own: a client that goes away now does not cut COMMIT short.
        let settling = rt::spawn(async move {
            let settled = store::settle(granted, key, &answer).await;
            drop(place);
            settled.map(|()| answer)
        });
        let settled = settling.await.map_err(|error| Trouble::Unknown(error.to_string()))?;
        settled.map(Answer::into_response)
    }

    fn ended(&self, reason: &str, answer: Answer) -> HttpResponse {
        log::warn!("{}: {}: {reason}", self.operation.0.name, answer.status);
        answer.into_response()
    }
}

/// Why a request does not get its claim.
enum Stopped {
    InUse,
    Answer(Answer),
}

impl From<Answer> for Stopped {
    fn from(answer: Answer) -> Self {
        Self::Answer(answer)
    }
}

fn is_remembered(status: StatusCode) -> bool {
    (200..500).contains(&status.as_u16()) && !TRY_AGAIN.contains(&status.as_u16())
}

/// Transactions that conflicted once do so again if they start again together. The first pause is about as long as one
/// of them; each one after it is up to twice as long as the one before.
fn pause(runs: u32) -> Duration {
    let longest_us = FIRST_PAUSE_US << runs.min(MOST_RUNS);
    // The keys of a hash map are the random numbers that the standard library has.
    Duration::from_micros(RandomState::new().build_hasher().finish() % longest_us)
}
