//! Requests of one process that have the same key: one goes ahead, the others wait and hold no connection.
//!
//! Rule: waiting decides nothing. Whoever stops waiting takes the claim, or finds what stands in its place.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::claim::Claim;

/// A sender's retries of one message are few. More than this many at once is somebody who floods one key.
pub(crate) const MOST_WAITERS: usize = 64;

type Key = [u8; 32];

/// The keys that this process is applying now.
#[derive(Clone, Default)]
pub(crate) struct Line(Arc<Mutex<HashMap<Key, Running>>>);

struct Running {
    fingerprint: Vec<u8>,
    ended: watch::Receiver<()>,
    ticket: Arc<()>,
}

/// What whoever comes to the line finds.
pub(crate) enum Joined {
    /// Nobody: the key is ours until this is dropped.
    First(Place),
    /// Another request, with this fingerprint.
    Behind(Vec<u8>, Wait),
    /// Too many others.
    Crowded(Vec<u8>),
}

/// The right to apply a key in this process; dropping it wakes everybody who waits.
pub(crate) struct Place {
    line: Line,
    key: Key,
    // Dropped after the key has been left: that is what waiters notice.
    _running: watch::Sender<()>,
}

/// A place among those who wait.
pub(crate) struct Wait {
    ended: watch::Receiver<()>,
    _ticket: Arc<()>,
}

impl Line {
    pub(crate) fn join(&self, claim: &Claim) -> Joined {
        match self.keys().entry(claim.key) {
            Entry::Vacant(free) => {
                let (running, ended) = watch::channel(());
                free.insert(Running { fingerprint: claim.fingerprint.clone(), ended, ticket: Arc::new(()) });
                Joined::First(Place { line: self.clone(), key: claim.key, _running: running })
            }
            Entry::Occupied(taken) => {
                let running = taken.get();
                let fingerprint = running.fingerprint.clone();
                // One of the tickets is the line's own.
                if Arc::strong_count(&running.ticket) > MOST_WAITERS {
                    return Joined::Crowded(fingerprint);
                }
                let wait = Wait { ended: running.ended.clone(), _ticket: running.ticket.clone() };
                Joined::Behind(fingerprint, wait)
            }
        }
    }

    fn keys(&self) -> MutexGuard<'_, HashMap<Key, Running>> {
        // Nothing that holds it can leave it half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.line.keys().remove(&self.key);
    }
}

impl Wait {
    /// Until the key is left.
    pub(crate) async fn over(mut self) {
        // Nothing is ever sent; the error is that the sender has gone.
        while self.ended.changed().await.is_ok() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(key: u8) -> Claim {
        Claim {
            key: [key; 32],
            tenant: "main".into(),
            operation: "/order".into(),
            fingerprint: vec![key],
            taken_unix_ms: 0,
            answer_until_unix_ms: 0,
            claim_until_unix_ms: None,
            earliest_unix_ms: None,
        }
    }

    fn waiting(line: &Line) -> Wait {
        match line.join(&claim(1)) {
            Joined::Behind(fingerprint, wait) => {
                assert_eq!(fingerprint, [1]);
                wait
            }
            Joined::First(_) | Joined::Crowded(_) => panic!("wanted to wait"),
        }
    }

    #[actix_web::test]
    async fn the_first_goes_ahead_and_the_others_wait_until_it_leaves() {
        let line = Line::default();
        let Joined::First(place) = line.join(&claim(1)) else { panic!("nobody is there") };
        let waits = [waiting(&line), waiting(&line)];
        assert!(matches!(line.join(&claim(2)), Joined::First(_)));
        drop(place);
        for wait in waits {
            wait.over().await;
        }
        assert!(matches!(line.join(&claim(1)), Joined::First(_)));
    }

    #[test]
    fn so_many_may_wait_and_no_more_until_one_gives_up() {
        let line = Line::default();
        let _place = line.join(&claim(1));
        let mut waits: Vec<Wait> = (0..MOST_WAITERS).map(|_| waiting(&line)).collect();
        assert!(matches!(line.join(&claim(1)), Joined::Crowded(_)));
        waits.pop();
        waiting(&line);
    }
}
