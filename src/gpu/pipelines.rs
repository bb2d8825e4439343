//! The pipelines of a device: each made once, by whoever asks first, and ahead of time on worker threads when asked to.

use std::collections::{HashMap, HashSet};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::pipeline::Pipeline;
use super::{Context, check_alive};
use crate::kernel::Shader;
use crate::plan::Plan;
use crate::{Error, ErrorKind, Result};

/// A shader, and whether it is one of this crate's own that needs no checks at run time.
type Variant = (Shader, bool);

/// A pipeline, once it is made. Whoever makes it holds the lock meanwhile, so that others wait instead of compiling it, too; after a
/// failure the next one tries again.
type Place = Arc<Mutex<Option<Arc<Pipeline>>>>;

#[derive(Debug, Default)]
pub(super) struct Pipelines(Mutex<HashMap<Variant, Place>>);

impl Pipelines {
    /// The pipeline of `variant`, which `make` makes unless it is there.
    pub(super) fn get_or_make(
        &self,
        variant: Variant,
        make: impl FnOnce() -> Result<Pipeline>,
    ) -> Result<Arc<Pipeline>> {
        let place = lock(&self.0).entry(variant).or_default().clone();
        let mut place = lock(&place);
        if let Some(pipeline) = &*place {
            return Ok(pipeline.clone());
        }
        let pipeline = Arc::new(make()?);
        *place = Some(pipeline.clone());
        Ok(pipeline)
    }
}

/// A poisoned lock only means that another thread panicked between two complete states.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Context {
    /// Makes every pipeline that `plans` need, on this thread and `threads - 1` others, so that [`super::Program::new`] finds them. Nothing
    /// is made ahead of time unless this is called.
    ///
    /// Shaders are parsed, validated and translated here on every device, and most drivers compile here, too. Software rasterizers do not:
    /// they compile at the first dispatch, which no call but a run can bring forward. On lavapipe nine tenths of a first call are left.
    ///
    /// Fails with the error of the first shader, in the order of `plans`, that cannot be made, or when the device is lost or the system
    /// refuses a thread. What was made by then stays.
    pub fn warm_up(&self, plans: &[&Plan], threads: NonZeroUsize) -> Result<()> {
        check_alive(self.device(), "warm-up")?;
        let mut variants: Vec<(&Shader, bool)> = Vec::new();
        let mut seen = HashSet::new();
        for plan in plans {
            for (at, shader) in plan.shaders().iter().enumerate() {
                let variant = (shader, plan.is_proven(at));
                if seen.insert(variant) {
                    variants.push(variant);
                }
            }
        }

        // Shaders are handed out in order, so that all before the first that failed have been tried.
        let next = AtomicUsize::new(0);
        let work = || -> Outcome {
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some(&(shader, is_proven)) = variants.get(at) else { return Ok(()) };
                // wgpu's error scopes belong to the thread that opens them: each pipeline is made within this one's.
                let made = self
                    .caps()
                    .check_features("warm-up", shader)
                    .and_then(|()| self.pipeline(shader, is_proven));
                if let Err(error) = made {
                    next.store(variants.len(), Ordering::Relaxed);
                    return Err((at, error));
                }
            }
        };
        let count = threads.get().min(variants.len());
        let refused = |error| {
            let refused = Error::new(ErrorKind::Io, "warm-up", "threads").expecting(threads);
            (variants.len(), refused.caused_by(error))
        };
        let outcomes = on_threads(count, work, refused);
        match outcomes.into_iter().filter_map(Result::err).min_by_key(|(at, _)| *at) {
            Some((_, error)) => Err(error),
            None => Ok(()),
        }
    }
}

/// What a worker of a warm-up came to: the number of the shader that failed, and why.
type Outcome = Result<(), (usize, Error)>;

/// Does `work` on this thread and `count - 1` others.
#[cfg(not(target_arch = "wasm32"))]
fn on_threads(
    count: usize,
    work: impl Fn() -> Outcome + Copy + Send,
    refused: impl Fn(std::io::Error) -> (usize, Error),
) -> Vec<Outcome> {
    std::thread::scope(|scope| {
        let spawn = || std::thread::Builder::new().name("foveate warm-up".into()).spawn_scoped(scope, work);
        let workers: Vec<_> = (1..count).map(|_| spawn()).collect();
        let mut outcomes = vec![work()];
        for worker in workers {
            outcomes.push(match worker {
                Ok(worker) => worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
                Err(error) => Err(refused(error)),
            });
        }
        outcomes
    })
}

/// Does `work` on this thread: what a browser's device made cannot leave it.
#[cfg(target_arch = "wasm32")]
fn on_threads(
    _: usize,
    work: impl Fn() -> Outcome,
    _: impl Fn(std::io::Error) -> (usize, Error),
) -> Vec<Outcome> {
    vec![work()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::{AdapterRequest, ErrorScopes};
    use crate::kernel::Source;

    const WRITES: &str = "struct Params { value: u32 }
        @group(0) @binding(0) var<uniform> params: Params;
        @group(0) @binding(1) var<storage, read_write> result: array<u32>;
        @compute @workgroup_size(1) fn main() { result[0] = params.value; }";

    fn context() -> Context {
        Context::headless(&AdapterRequest::Any).unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn threads_that_want_the_same_pipeline_make_it_once() {
        let context = context();
        let (pipelines, made) = (Pipelines::default(), AtomicUsize::new(0));
        let shader = Shader::new("probe", [Source { path: "probe.wgsl", text: WRITES }]);
        let make = || {
            made.fetch_add(1, Ordering::Relaxed);
            let checks = wgpu::ShaderRuntimeChecks::checked();
            Pipeline::new(context.device(), &shader, context.caps(), checks, None)
        };
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| pipelines.get_or_make((shader.clone(), false), make).unwrap());
            }
        });
        assert_eq!(made.into_inner(), 1);
    }

    #[test]
    fn errors_belong_to_the_thread_that_caused_them() {
        let context = context();
        let outer = ErrorScopes::open(context.device());
        let error = std::thread::scope(|scope| {
            let cause = || {
                let scopes = ErrorScopes::open(context.device());
                let _invalid = context.device().create_shader_module(wgpu::ShaderModuleDescriptor {
                    label: None,
                    source: wgpu::ShaderSource::Wgsl("fn".into()),
                });
                scopes.close("probe", "module")
            };
            scope.spawn(cause).join().unwrap().unwrap_err()
        });
        assert_eq!(error.kind(), ErrorKind::Device);
        outer.close("probe", "nothing").unwrap();
    }

    #[test]
    fn whoever_fails_leaves_the_place_to_the_next() {
        let pipelines = Pipelines::default();
        let calls = AtomicUsize::new(0);
        let refuse = || {
            calls.fetch_add(1, Ordering::Relaxed);
            Err(Error::new(ErrorKind::OutOfMemory, "pipeline", "probe"))
        };
        for _ in 0..2 {
            let error = pipelines.get_or_make((Shader::new("probe", []), false), refuse).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::OutOfMemory);
        }
        assert_eq!(calls.into_inner(), 2);
    }
}
