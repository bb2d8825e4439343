//! The asynchronous path: the same results, on any executor, without one that spins, and with futures that are dropped on the way.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Poll, Wake, Waker};
use std::thread::Thread;

use foveate::gpu::{AdapterRequest, Context, Parameters, Program, Session};
use foveate::plan::Watch;
use foveate::{ErrorKind, Graph, HostTensor, Plan, TensorDesc, ops, wgpu};

/// Wakes the thread that waits, and counts how often that was asked for.
struct Parked {
    thread: Thread,
    wakes: AtomicUsize,
}

impl Wake for Parked {
    fn wake(self: Arc<Self>) {
        self.wakes.fetch_add(1, Ordering::Relaxed);
        self.thread.unpark();
    }
}

/// Runs a future on this thread, which sleeps until the future wakes it: one that forgets to hangs. Gives the number of polls, too.
fn block_on<T>(future: impl Future<Output = T>) -> (T, usize) {
    let parked = Arc::new(Parked { thread: std::thread::current(), wakes: AtomicUsize::new(0) });
    let waker = Waker::from(parked.clone());
    let mut context = std::task::Context::from_waker(&waker);
    let mut future = pin!(future);
    let mut polls = 1;
    loop {
        if let Poll::Ready(result) = future.as_mut().poll(&mut context) {
            return (result, polls);
        }
        while parked.wakes.swap(0, Ordering::Relaxed) == 0 {
            std::thread::park();
        }
        polls += 1;
    }
}

fn context() -> Context {
    block_on(Context::headless_async(&AdapterRequest::Any)).0.unwrap_or_else(|error| panic!("{error}"))
}

fn numbers() -> HostTensor {
    HostTensor::f32([2, 512], (0..1024).map(|i| (i % 13) as f32 / 3.0).collect()).unwrap()
}

/// Softmax and exponentials of `x`: two outputs.
fn program(context: &Context, watch: Option<Watch>) -> Program {
    let mut graph = Graph::new();
    let x = graph.input("x", TensorDesc::f32([2, 512])).unwrap();
    let softmax = ops::softmax(&mut graph, x).unwrap();
    let exponentials = ops::exp(&mut graph, x).unwrap();
    graph.output("softmax", softmax).unwrap();
    graph.output("exponentials", exponentials).unwrap();
    let plan = match watch {
        None => Plan::new(&graph, context.caps()),
        Some(watch) => Plan::watching(&graph, context.caps(), watch),
    };
    Program::new(context, &plan.unwrap()).unwrap()
}

#[test]
fn what_is_awaited_is_what_is_waited_for() {
    let context = context();
    let (program, x) = (program(&context, None), numbers());
    let blocking = program.run(&[("x", &x)]).unwrap();
    let (awaited, polls) = block_on(program.run_async(&[("x", &x)]));
    assert_eq!(awaited.unwrap(), blocking);
    // Once at first, and at most once for the run and for each output: nothing spins.
    assert!(polls <= 4, "{polls} polls");
}

#[test]
fn futures_may_go_from_thread_to_thread() {
    fn sent<T: Send>(future: T) -> T {
        future
    }
    let context = context();
    let (program, x) = (program(&context, None), numbers());
    let blocking = program.run(&[("x", &x)]).unwrap();
    let other = std::thread::spawn(move || {
        block_on(sent(async move {
            let mut session = Session::new(&program, &[("x", &x)])?;
            sent(session.run_async()).await?;
            sent(session.read_async()).await
        }))
    });
    assert_eq!(other.join().unwrap().0.unwrap(), blocking);
    drop(sent(Context::headless_async(&AdapterRequest::Any)));
}

/// Runs two futures on this thread, both in flight at a time.
async fn both<A, B>(first: impl Future<Output = A>, second: impl Future<Output = B>) -> (A, B) {
    let (mut first, mut second) = (pin!(first), pin!(second));
    let (mut a, mut b) = (None, None);
    std::future::poll_fn(move |context| {
        if a.is_none() {
            a = ready(first.as_mut().poll(context));
        }
        if b.is_none() {
            b = ready(second.as_mut().poll(context));
        }
        match (a.take(), b.take()) {
            (Some(a), Some(b)) => Poll::Ready((a, b)),
            parts => {
                (a, b) = parts;
                Poll::Pending
            }
        }
    })
    .await
}

fn ready<T>(poll: Poll<T>) -> Option<T> {
    match poll {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

/// As in an app that polls the device for work of its own, and so may find what a future waits for.
#[test]
fn several_futures_are_in_flight_while_another_thread_polls() {
    const TURNS: usize = 20;
    let context = context();
    let (program, x) = (program(&context, Some(Watch::Outputs)), numbers());
    let expected = program.run(&[("x", &x)]).unwrap();
    let is_done = AtomicBool::new(false);
    let run = || {
        let inputs = [("x", &x)];
        let two = || block_on(both(program.run_async(&inputs), program.run_async(&inputs))).0;
        (0..TURNS).map(|_| two()).collect::<Vec<_>>()
    };
    let found = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_done.load(Ordering::Relaxed) {
                context.device().poll(wgpu::PollType::Poll).unwrap();
                std::thread::yield_now();
            }
        });
        let runs = [scope.spawn(run), scope.spawn(run)].map(|thread| thread.join());
        is_done.store(true, Ordering::Relaxed);
        runs
    });
    for (first, second) in found.into_iter().flat_map(|run| run.unwrap()) {
        assert_eq!((first.unwrap(), second.unwrap()), (expected.clone(), expected.clone()));
    }
}

#[test]
fn a_future_that_is_dropped_on_the_way_leaves_the_session_usable() {
    let context = context();
    let (program, x) = (program(&context, Some(Watch::Outputs)), numbers());
    let mut session = Session::new(&program, &[("x", &x)]).unwrap();
    session.run().unwrap();
    let expected = session.read().unwrap();
    let mut noop = std::task::Context::from_waker(Waker::noop());
    for _ in 0..3 {
        let _ = pin!(session.run_async()).poll(&mut noop);
        let _ = pin!(session.read_async()).poll(&mut noop);
    }
    session.run().unwrap();
    assert_eq!(session.read().unwrap(), expected);
    block_on(session.run_async()).0.unwrap();
    assert_eq!(block_on(session.read_async()).0.unwrap(), expected);
}

#[test]
fn numbers_that_are_not_finite_are_told_of() {
    let context = context();
    let program = program(&context, Some(Watch::Outputs));
    let large = HostTensor::f32([2, 512], vec![1000.0; 1024]).unwrap();
    let error = block_on(program.run_async(&[("x", &large)])).0.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFinite);
    block_on(program.run_async(&[("x", &numbers())])).0.unwrap();
}

#[test]
fn parameters_come_back() {
    let context = context();
    let x = numbers();
    let parameters = Parameters::upload(&context, [Ok(("x".to_owned(), x.clone()))]).unwrap();
    let download = |name| block_on(parameters.download_async(&context, name)).0;
    assert_eq!(download("x").unwrap(), x);
    assert_eq!(download("y").unwrap_err(), parameters.download(&context, "y").unwrap_err());
}

#[test]
fn a_device_that_is_lost_is_an_error_and_no_endless_wait() {
    let context = context();
    let program = program(&context, None);
    let mut session = Session::new(&program, &[("x", &numbers())]).unwrap();
    session.run().unwrap();
    context.device().destroy();
    for error in [block_on(session.run_async()).0.unwrap_err(), block_on(session.read_async()).0.unwrap_err()]
    {
        assert_eq!(error.kind(), ErrorKind::DeviceLost, "{error}");
    }
}
