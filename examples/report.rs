//! Which kernel each step got and why, the memory of a plan, and where the time goes: `foveate::guide::performance`.
//!
//! ```text
//! cargo run --release --example report
//! ```

use foveate::gpu::{AdapterRequest, Context, Program, Session};
use foveate::ops::attention::{Blocked, Mask, blocked};
use foveate::{Graph, HostTensor, Plan, Result, TensorDesc, ops};

fn main() -> Result<()> {
    let mut graph = Graph::new();
    let x = graph.input("x", TensorDesc::f32([1, 512, 4, 64]))?;
    let attended = blocked(&mut graph, x, x, x, &Blocked::new().mask(Mask::causal()))?;
    let rows = ops::reshape(&mut graph, attended, [512, 256])?;
    let normed = ops::softmax(&mut graph, rows)?;
    let product = ops::matmul(&mut graph, normed, rows, &ops::Matmul::new().transpose_b())?;
    graph.output("y", product)?;

    // A plan needs no device: this one is for the least that WebGPU allows.
    let least = Plan::new(&graph, &foveate::Caps::webgpu_default())?;
    println!("working memory on WebGPU's default limits: {} bytes\n", least.memory().total());

    let context = Context::headless(&AdapterRequest::Any)?;
    println!("{}", context.describe());
    let program = Program::new(&context, &Plan::new(&graph, context.caps())?)?;
    for step in program.report() {
        if let Some(choice) = &step.choice {
            println!("  {}: {}, {} ({})", step.op, choice.tier.name(), choice.kernel, choice.reason);
        }
    }
    let x = HostTensor::f32([1, 512, 4, 64], (0..512 * 256).map(|i| (i % 11) as f32 / 11.0).collect())?;
    let mut session = Session::new(&program, &[("x", &x)])?;
    // The first run compiles.
    let (first, second) = (session.run()?.wall, session.run()?.wall);
    println!("first run {first:.1?}, second {second:.1?}; of a run one dispatch at a time:");
    for profiled in session.profile()? {
        println!("  {:>10.1?} {}", profiled.time, profiled.shader);
    }
    Ok(())
}
