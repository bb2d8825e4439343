//! Devices for tests that run beside each other. A software rasterizer compiles all shaders of a device on one thread, so that each
//! thread has devices of its own.

use std::sync::{Mutex, PoisonError};

use foveate::gpu::{AdapterRequest, Context};

/// Devices that no thread is using.
pub(crate) struct Pool(Mutex<Vec<&'static Context>>);

/// A thread's device, which goes back to its pool when the thread ends.
pub(crate) struct Lease {
    pool: &'static Pool,
    pub(crate) context: &'static Context,
}

impl Pool {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    pub(crate) fn lease(&'static self, make: impl FnOnce() -> Context) -> Lease {
        let idle = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Lease { pool: self, context: idle.unwrap_or_else(|| Box::leak(Box::new(make()))) }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.pool.0.lock().unwrap_or_else(PoisonError::into_inner).push(self.context);
    }
}

/// This thread's device. Without an adapter every test that asks for it fails, and says how to get one.
pub(crate) fn context() -> &'static Context {
    static POOL: Pool = Pool::new();
    thread_local! {
        static LEASE: Lease = POOL.lease(|| {
            Context::headless(&AdapterRequest::Any).unwrap_or_else(|error| panic!("{error}"))
        });
    }
    LEASE.with(|lease| lease.context)
}
