//! Devices for tests that run beside each other. A software rasterizer compiles all shaders of a device on one thread, so that each
//! thread has devices of its own.

use std::sync::{Mutex, PoisonError};

use foveate::gpu::{AdapterRequest, Context};
use foveate::wgpu;

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

/// This thread's device; with `FOVEATE_LIMITS=default` one that has WebGPU's default limits and no optional feature. Without an adapter every test that
/// asks for it fails, and says how to get one.
pub(crate) fn context() -> &'static Context {
    static POOL: Pool = Pool::new();
    thread_local! {
        static LEASE: Lease = POOL.lease(|| match std::env::var("FOVEATE_LIMITS").as_deref() {
            Ok("default") => least_device(),
            Ok(other) => panic!("FOVEATE_LIMITS: expected `default`, found `{other}`"),
            Err(_) => headless(),
        });
    }
    LEASE.with(|lease| lease.context)
}

fn headless() -> Context {
    Context::headless(&AdapterRequest::Any).unwrap_or_else(|error| panic!("{error}"))
}

/// What an app's device has that asks for nothing.
pub(crate) fn least_device() -> Context {
    let adapters = foveate::gpu::adapters();
    // The first adapter is the one that `context` takes, and the one that says how to get one.
    let adapter = adapters.first().unwrap_or_else(|| panic!("{} has no adapter", headless().describe()));
    let (device, queue) = pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor {
        required_features: wgpu::Features::empty(),
        required_limits: wgpu::Limits::default(),
        ..Default::default()
    }))
    .expect("every adapter grants the default limits");
    Context::from_device(&device, &queue, adapter.get_info(), &[])
}
