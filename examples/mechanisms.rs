//! Times four methods of attention beside exact attention, with memory and error: `foveate::guide::mechanisms` and `foveate::guide::choosing_attention`.
//!
//! ```text
//! cargo run --release --example mechanisms
//! ```

use std::sync::Arc;

use foveate::gpu::{AdapterRequest, Context};
use foveate::ops::attention::{Blocked, LinearAttention, Mask, Nystrom, blocked, linear_attention, nystrom};
use foveate::runtime::{Device, Planned, Store};
use foveate::{Graph, HostTensor, Random, Result, TensorDesc, Value};

type Mechanism = fn(&mut Graph, [Value; 3]) -> Result<Value>;

/// Name, what it is compared with, and what records it.
const MECHANISMS: [(&str, Mechanism); 4] = [
    ("exact", |graph, [q, k, v]| blocked(graph, q, k, v, &Blocked::new())),
    ("window of 64", |graph, [q, k, v]| blocked(graph, q, k, v, &Blocked::new().mask(Mask::window(64, 64)))),
    ("Nyström, 32 landmarks", |graph, [q, k, v]| nystrom(graph, q, k, v, &Nystrom::new(32))),
    ("linear, elu + 1", |graph, [q, k, v]| linear_attention(graph, q, k, v, &LinearAttention::new())),
];

fn main() -> Result<()> {
    let device = Context::headless(&AdapterRequest::Any).map_or(Device::Cpu, Device::Gpu);
    println!("{}", device.describe());
    println!(
        "| tokens | mechanism | milliseconds | MiB | largest difference from exact |\n|---|---|---|---|---|"
    );
    for time in [512, 2048] {
        let mut exact: Option<Vec<f32>> = None;
        for (name, record) in MECHANISMS {
            let desc = TensorDesc::f32([1, time, 4, 32]);
            let mut graph = Graph::new();
            let [q, k, v] = ["q", "k", "v"].map(|name| graph.input(name, desc.clone()));
            let out = record(&mut graph, [q?, k?, v?])?;
            graph.output("out", out)?;
            let mut random = Random::new(1);
            let mut tensor = || {
                HostTensor::f32(
                    [1, time, 4, 32],
                    (0..desc.elements()).map(|_| random.next_normal()).collect(),
                )
            };
            let (q, k, v) = (tensor()?, tensor()?, tensor()?);

            let planned = Planned::new(&Store::empty(&device), Arc::new(graph))?;
            let mut running = planned.start(&[("q", &q), ("k", &k), ("v", &v)])?;
            // The first run has compiled the kernels.
            let milliseconds = running.run()?.wall.as_secs_f64() * 1e3;
            let out = running.read()?["out"].to_f32();
            let exact = exact.get_or_insert_with(|| out.clone());
            let difference = out.iter().zip(&*exact).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max);
            let mebibytes = planned.bytes() as f64 / f64::from(1 << 20);
            println!("| {time} | {name} | {milliseconds:.1} | {mebibytes:.1} | {difference:.2} |");
        }
    }
    // On noise nothing but the exact method is right; a trained model's queries and keys are no noise: `foveate run --attention`.
    Ok(())
}
