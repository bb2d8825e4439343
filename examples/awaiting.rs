//! Two programs that are awaited together, on an executor of twenty lines that stands for yours (tokio's, a browser's):
//! `foveate::guide::embedding`.
//!
//! ```text
//! cargo run --example awaiting
//! ```

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, Wake, Waker};
use std::thread::Thread;

use foveate::gpu::{AdapterRequest, Context, Program};
use foveate::{Graph, HostTensor, Plan, Result, TensorDesc, ops};

/// The largest sum of a row of squares.
async fn squares(context: &Context, count: usize) -> Result<f32> {
    let mut graph = Graph::new();
    let x = graph.input("x", TensorDesc::f32([count, count]))?;
    let y = ops::matmul(&mut graph, x, x, &ops::Matmul::new().transpose_b())?;
    graph.output("y", y)?;
    let program = Program::new(context, &Plan::new(&graph, context.caps())?)?;
    let numbers = HostTensor::f32([count, count], (0..count * count).map(|i| (i % 7) as f32).collect())?;
    let outputs = program.run_async(&[("x", &numbers)]).await?;
    Ok(outputs["y"].to_f32().into_iter().fold(0.0, f32::max))
}

fn main() -> Result<()> {
    let context = run_all(vec![Box::pin(Context::headless_async(&AdapterRequest::Any))]).remove(0)?;
    println!("{}", context.describe());
    let largest = run_all(vec![Box::pin(squares(&context, 300)), Box::pin(squares(&context, 500))]);
    for largest in largest {
        println!("{}", largest?);
    }
    Ok(())
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs futures on this thread, which sleeps while none of them has news.
fn run_all<T>(mut futures: Vec<Pin<Box<dyn Future<Output = T> + '_>>>) -> Vec<T> {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = TaskContext::from_waker(&waker);
    let mut results: Vec<Option<T>> = futures.iter().map(|_| None).collect();
    loop {
        for (future, result) in futures.iter_mut().zip(&mut results) {
            if result.is_none()
                && let Poll::Ready(ready) = future.as_mut().poll(&mut context)
            {
                *result = Some(ready);
            }
        }
        if results.iter().all(Option::is_some) {
            return results.into_iter().flatten().collect();
        }
        std::thread::park();
    }
}
