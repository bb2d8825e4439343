//! What ends a training early, with what it has learnt saved: an interrupt, a request to terminate, and a terminal that hangs up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use foveate::{Error, ErrorKind, Result};

use crate::output;

/// Signals so soon behind the first are about the same: of a terminal that hangs up, both the system and the shell tell.
const TOGETHER: Duration = Duration::from_secs(1);

/// A flag that the first of the signals sets. A later one ends the process.
pub(super) fn watch() -> Result<Arc<AtomicBool>> {
    #[cfg(unix)]
    keep_ignored();
    let told = Arc::new(AtomicBool::new(false));
    let flag = told.clone();
    let mut first = None;
    let handler = move || {
        if first.get_or_insert_with(Instant::now).elapsed() > TOGETHER {
            std::process::exit(130);
        }
        // Before the note, which waits for whoever reads it.
        if !flag.swap(true, Ordering::SeqCst) {
            output::note(
                "the step under way is ended and saved first; told once more, the process ends at once",
            );
        }
    };
    ctrlc::set_handler(handler).map_err(|error| {
        Error::new(ErrorKind::Io, "train", "interrupts").expecting("to be told").but_found(error)
    })?;
    Ok(told)
}

/// Blocks the signals that the process was started to ignore, as `nohup` has it with the one that tells of the terminal: a handler would undo that.
/// Threads that are started from here on block them, too. Which they are is known on Linux.
#[cfg(unix)]
fn keep_ignored() {
    use nix::sys::signal::{SigSet, Signal};

    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    // The first signal has the lowest bit.
    let ignored = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    let mut blocked = SigSet::empty();
    for signal in [Signal::SIGHUP, Signal::SIGINT, Signal::SIGTERM] {
        if ignored & (1 << (signal as i32 - 1)) != 0 {
            blocked.add(signal);
        }
    }
    // Where that fails, a training is saved and ends, which is no loss.
    let _ = blocked.thread_block();
}
