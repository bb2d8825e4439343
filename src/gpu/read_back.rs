//! Copying from the device to the host, and waiting for it: on this thread, or as a future.
//!
//! wgpu calls back when a buffer is mapped, but natively only while somebody polls the device. A future must not wait, and whoever runs it
//! may never look at the device: a thread of its own polls, and ends when the device is done. In a browser, the browser calls back.

use std::fmt::Display;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};

use super::{Context, ErrorScopes, check_alive, is_lost, with_source};
use crate::{Error, ErrorKind, Result};

/// How long a poll waits.
#[cfg(not(target_arch = "wasm32"))]
const TURN: std::time::Duration = std::time::Duration::from_millis(1);

/// A buffer of so many bytes that the device copies to and the host maps.
pub(super) fn staging(device: &wgpu::Device, bytes: u64) -> wgpu::Buffer {
    device.create_buffer(&wgpu::BufferDescriptor {
        label: Some("foveate staging"),
        size: bytes,
        usage: wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ,
        mapped_at_creation: false,
    })
}

/// Bytes of a buffer, from an offset on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part<'b> {
    pub(super) buffer: &'b wgpu::Buffer,
    pub(super) offset: u64,
    pub(super) bytes: u64,
}

/// Copies a part of a buffer to the host.
pub(super) fn download(context: &Context, part: Part<'_>) -> Result<Vec<u8>> {
    let scopes = ErrorScopes::open(context.device());
    let staging = staging(context.device(), part.bytes);
    scopes.close("read", "staging")?;
    download_through(context, &staging, part)
}

/// [`download`] through a mappable buffer of as many bytes.
pub(super) fn download_through(context: &Context, staging: &wgpu::Buffer, part: Part<'_>) -> Result<Vec<u8>> {
    copy(context, &[(part, staging)])?;
    map(context.device(), staging)
}

/// [`download`] of several parts for those who await: in order, by one submission. What they are copied through is nobody else's, so that
/// the future may be dropped at any time.
pub(super) async fn download_async(context: &Context, parts: &[Part<'_>]) -> Result<Vec<Vec<u8>>> {
    let device = context.device();
    let scopes = ErrorScopes::open(device);
    let through: Vec<wgpu::Buffer> = parts.iter().map(|part| staging(device, part.bytes)).collect();
    scopes.close("read", "staging")?;
    copy(context, &parts.iter().copied().zip(&through).collect::<Vec<_>>())?;
    map_async(device, &through).await
}

/// Submits the copies.
fn copy(context: &Context, parts: &[(Part<'_>, &wgpu::Buffer)]) -> Result<()> {
    let device = context.device();
    let scopes = ErrorScopes::open(device);
    let mut encoder =
        device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("foveate") });
    for (Part { buffer, offset, bytes }, staging) in parts {
        encoder.copy_buffer_to_buffer(buffer, *offset, staging, 0, *bytes);
    }
    context.queue().submit([encoder.finish()]);
    scopes.close("read", "copy")
}

/// Waits on this thread for what was submitted.
pub(super) fn wait(device: &wgpu::Device, submission: wgpu::SubmissionIndex) -> Result<()> {
    device
        .poll(wgpu::PollType::Wait { submission_index: Some(submission), timeout: None })
        .map(|_| ())
        .map_err(|error| with_source(failure(device, "run", "wait", &error), error))
}

/// Waits for the device and copies a mappable buffer out.
pub(super) fn map(device: &wgpu::Device, buffer: &wgpu::Buffer) -> Result<Vec<u8>> {
    let scopes = ErrorScopes::open(device);
    let (sender, receiver) = std::sync::mpsc::channel();
    buffer.map_async(wgpu::MapMode::Read, .., move |result| {
        // The receiver outlives the wait below, or nobody is left to tell.
        let _ = sender.send(result);
    });
    let polled = device.poll(wgpu::PollType::wait_indefinitely());
    scopes.close("read", "map")?;
    polled.map_err(|error| with_source(failure(device, "read", "map", &error), error))?;
    let mapped = receiver.recv().map_err(|error| failure(device, "read", "map", &error))?;
    mapped.map_err(|error| with_source(failure(device, "read", "map", &error), error))?;
    mapped_bytes(device, buffer)
}

/// [`map`] of several buffers for those who await.
async fn map_async(device: &wgpu::Device, buffers: &[wgpu::Buffer]) -> Result<Vec<Vec<u8>>> {
    let scopes = ErrorScopes::open(device);
    let signals: Vec<Signal> = buffers
        .iter()
        .map(|buffer| {
            let signal = Signal::default();
            let teller = Teller(signal.clone());
            buffer.map_async(wgpu::MapMode::Read, .., move |result| {
                teller.0.tell(result.map_err(|error| error.to_string()));
            });
            signal
        })
        .collect();
    scopes.close("read", "map")?;
    drive(device, &signals)?;
    let mut bytes = Vec::with_capacity(buffers.len());
    for (signal, buffer) in signals.into_iter().zip(buffers) {
        signal.await.map_err(|told| failure(device, "read", "map", &told))?;
        bytes.push(mapped_bytes(device, buffer)?);
    }
    Ok(bytes)
}

/// Ready when everything that was submitted before is done.
pub(super) async fn done(context: &Context) -> Result<()> {
    let signal = Signal::default();
    let teller = Teller(signal.clone());
    context.queue().on_submitted_work_done(move || teller.0.tell(Ok(())));
    let device = context.device();
    drive(device, std::slice::from_ref(&signal))?;
    signal.await.map_err(|told| failure(device, "run", "wait", &told))?;
    // To wgpu, what a lost device does not do is done, too.
    check_alive(device, "run")
}

fn mapped_bytes(device: &wgpu::Device, buffer: &wgpu::Buffer) -> Result<Vec<u8>> {
    let view = buffer.get_mapped_range(..);
    let bytes = view.map_err(|error| failure(device, "read", "map", &error))?.to_vec();
    buffer.unmap();
    Ok(bytes)
}

fn failure(device: &wgpu::Device, op: &'static str, argument: &str, error: &dyn Display) -> Error {
    let kind = if is_lost(device) { ErrorKind::DeviceLost } else { ErrorKind::Device };
    Error::new(kind, op, argument).but_found(error)
}

/// Polls the device on a thread until every one of `signals` is told, and tells them itself where the device is lost, which calls nobody back.
///
/// No poll waits for long, as wgpu holds a lock meanwhile that presenting a frame needs. A poll that finds nothing to do is no sign that a signal
/// is told: another thread that polls or submits may be about to.
#[cfg(not(target_arch = "wasm32"))]
fn drive(device: &wgpu::Device, signals: &[Signal]) -> Result<()> {
    let (device, signals) = (device.clone(), signals.to_vec());
    let poll = move || {
        while !signals.iter().all(Signal::is_told) {
            if is_lost(&device) {
                signals.iter().for_each(|signal| signal.tell(Err("the device is lost".to_owned())));
            }
            let polled = device.poll(wgpu::PollType::Wait { submission_index: None, timeout: Some(TURN) });
            if polled.is_ok() {
                std::thread::sleep(TURN);
            }
        }
    };
    let spawned = std::thread::Builder::new().name("foveate wait".into()).spawn(poll);
    let refused = || Error::new(ErrorKind::Io, "read", "thread").expecting("one to wait for the device");
    spawned.map(drop).map_err(|error| refused().caused_by(error))
}

/// In a browser, the browser calls back.
#[cfg(target_arch = "wasm32")]
#[expect(clippy::unnecessary_wraps, reason = "natively a thread may be refused")]
fn drive(_: &wgpu::Device, _: &[Signal]) -> Result<()> {
    Ok(())
}

/// Tells its signal, unless somebody has, when the callback that holds it is dropped.
struct Teller(Signal);

impl Drop for Teller {
    fn drop(&mut self) {
        self.0.tell(Err("no answer of the device".to_owned()));
    }
}

/// What a callback tells, as a future: the first thing that is told counts.
#[derive(Clone, Debug, Default)]
struct Signal(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    told: Option<Result<(), String>>,
    waker: Option<Waker>,
}

impl Signal {
    #[cfg(not(target_arch = "wasm32"))]
    fn is_told(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).told.is_some()
    }

    fn tell(&self, what: Result<(), String>) {
        let waker = {
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            state.told.get_or_insert(what);
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Future for Signal {
    type Output = Result<(), String>;

    fn poll(self: Pin<&mut Self>, context: &mut std::task::Context<'_>) -> Poll<Self::Output> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &state.told {
            Some(told) => Poll::Ready(told.clone()),
            None => {
                state.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}
