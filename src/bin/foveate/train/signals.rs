//! What ends a training early, with what it has learnt saved: an interrupt, a request to terminate, and a terminal that hangs up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use foveate::{Error, ErrorKind, Result};

/// A flag that the first of the signals sets; the second one ends the process.
pub(super) fn watch() -> Result<Arc<AtomicBool>> {
    let told = Arc::new(AtomicBool::new(false));
    let flag = told.clone();
    let handler = move || {
        if flag.swap(true, Ordering::SeqCst) {
            std::process::exit(130);
        }
    };
    ctrlc::set_handler(handler).map_err(|error| {
        Error::new(ErrorKind::Io, "train", "interrupts").expecting("to be told").but_found(error)
    })?;
    Ok(told)
}
