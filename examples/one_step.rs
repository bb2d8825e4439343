//! A step from the public function to the device: graph, plan, the WGSL that runs, the result: `foveate::guide::how_it_works`.
//!
//! ```text
//! cargo run --example one_step
//! ```

use foveate::gpu::{AdapterRequest, Context, Program};
use foveate::{Graph, HostTensor, Plan, Result, TensorDesc, ops};

fn main() -> Result<()> {
    let mut graph = Graph::new();
    let x = graph.input("x", TensorDesc::f32([2, 3]))?;
    let y = ops::softmax(&mut graph, x)?;
    graph.output("y", y)?;
    for step in graph.steps() {
        println!("step: {}", step.op_name());
    }

    let context = Context::headless(&AdapterRequest::Any)?;
    let plan = Plan::new(&graph, context.caps())?;
    for (number, command) in plan.commands().iter().enumerate() {
        println!("command {number}: {command:?}");
    }
    for shader in plan.shaders() {
        let rendered = shader.render()?;
        println!("\nWGSL of {}, with the file of each line:", shader.label);
        for (line, place) in rendered.wgsl.lines().zip(rendered.places()) {
            println!("{:>40}  {line}", place.to_string());
        }
    }

    let x = HostTensor::f32([2, 3], vec![1.0, 2.0, 3.0, 0.0, 0.0, 0.0])?;
    let outputs = Program::new(&context, &plan)?.run(&[("x", &x)])?;
    println!("\ny = {:?}", outputs["y"].to_f32());
    Ok(())
}
