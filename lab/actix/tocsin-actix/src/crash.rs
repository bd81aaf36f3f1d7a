//! The steps of a guarded request at which the crash matrix ends the process, and what ends it there.
//!
//! Rule: only there with the feature `crash-points`, which nothing has that is to live. A process that dies at a step has
//! done nothing of what comes after it for that request; COMMIT takes time, so there it dies at a moment in between.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use std::{process, thread};

/// Longer than a COMMIT, so that some processes die before it is done and some after.
const LONGEST_COMMIT_US: u64 = 1_000;
const LONGEST_MOMENT_US: u64 = 20_000;

/// The step, and how many requests have still to reach it.
static ARMED: Mutex<Option<(String, u32)>> = Mutex::new(None);

/// Die when the step is reached for the `count`-th time from now on, 1 or more.
///
/// Nothing handles SIGABRT, so it ends the process as kill -9 does: in the kernel, at once, with nothing flushed, closed
/// or unwound. A process cannot send itself SIGKILL without code that is `unsafe`.
pub fn arm(step: &str, count: u32) {
    *ARMED.lock().unwrap_or_else(PoisonError::into_inner) = Some((step.into(), count));
}

/// A request is there.
pub fn reached(step: &str) {
    if step == "VERIFICATION" {
        reached("MOMENT");
    }
    let mut armed = ARMED.lock().unwrap_or_else(PoisonError::into_inner);
    match armed.as_mut() {
        Some((wanted, left)) if wanted == step => {
            *left = left.saturating_sub(1);
            if *left > 0 {
                return;
            }
        }
        _ => return,
    }
    let longest_us = match step {
        "COMMIT" => LONGEST_COMMIT_US,
        "MOMENT" => LONGEST_MOMENT_US,
        // With the lock still held: no other request passes a step any more.
        _ => process::abort(),
    };
    *armed = None;
    // The keys of a hash map are the random numbers that the standard library has.
    let wait = Duration::from_micros(RandomState::new().build_hasher().finish() % longest_us);
    thread::spawn(move || {
        thread::sleep(wait);
        process::abort();
    });
}
