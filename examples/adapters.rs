//! Lists the adapters of this machine, and checks softmax on each of them: `foveate::guide::portability`.
//!
//! ```text
//! cargo run --example adapters
//! ```

use foveate::gpu::{Context, Program, adapters};
use foveate::{Graph, HostTensor, Plan, Result, TensorDesc, cpu, ops};

fn main() -> Result<()> {
    let mut graph = Graph::new();
    let x = graph.input("x", TensorDesc::f32([5, 37]))?;
    let y = ops::softmax(&mut graph, x)?;
    graph.output("y", y)?;
    let x = HostTensor::f32([5, 37], (0..5 * 37).map(|i| (i % 23) as f32).collect())?;
    let expected = cpu::run(&graph, &[("x", &x)])?["y"].to_f64();

    let adapters = adapters();
    if adapters.is_empty() {
        println!("no adapter");
    }
    for adapter in adapters {
        let context = Context::on_adapter(&adapter)?;
        let caps = context.caps();
        println!("{}", context.describe());
        println!(
            "  f16: {}, subgroups: {:?}, cooperative matrices: {:?}",
            caps.f16,
            caps.subgroup_size,
            context.cooperative()
        );
        println!(
            "  bindings of {} MiB, workgroups of {} with {} KiB",
            caps.max_binding_bytes >> 20,
            caps.max_invocations,
            caps.max_workgroup_bytes >> 10
        );
        let found = Program::new(&context, &Plan::new(&graph, caps)?)?.run(&[("x", &x)])?["y"].to_f64();
        let furthest = found.iter().zip(&expected).map(|(x, y)| (x - y).abs()).fold(0.0, f64::max);
        println!("  softmax: at most {furthest:.1e} from the reference");
    }
    Ok(())
}
