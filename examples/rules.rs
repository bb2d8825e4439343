//! Attention masks and score modifiers, the crate's and one of your own: `foveate::guide::rules`.
//!
//! ```text
//! cargo run --example rules
//! ```

use foveate::ops::attention::{Blocked, CustomMask, Mask, blocked};
use foveate::{Graph, HostTensor, Result, TensorDesc, cpu};

/// Tokens, heads, channels.
const SHAPE: [usize; 4] = [1, 12, 2, 4];

fn main() -> Result<()> {
    let even =
        "fn even(batch: u32, head: u32, query: i32, key: i32) -> bool { return (query + key) % 2 == 0; }";
    let even = CustomMask::new("even", even, |pair| (pair.query + pair.key) % 2 == 0)?;
    let rules = [
        ("causal", Blocked::new().mask(Mask::causal())),
        ("a window of 2 to either side", Blocked::new().mask(Mask::window(2, 2))),
        ("the window, or the first two tokens", Blocked::new().mask(Mask::window(2, 2) | Mask::prefix(2))),
        (
            "causal, even distances: WGSL of one's own",
            Blocked::new().mask(Mask::causal() & Mask::custom(even)),
        ),
        ("causal, scores capped at 5", Blocked::new().mask(Mask::causal()).softcap(5.0)),
    ];
    for (name, spec) in rules {
        println!("{name}: keys that each query sees");
        for (query, seen) in seen(&spec)?.chunks(SHAPE[1]).enumerate() {
            let row: String = seen.iter().map(|&weight| if weight > 0.0 { '#' } else { '.' }).collect();
            println!("  {query:2} {row}");
        }
    }
    Ok(())
}

/// The weight of each key for each query, of the first head: attention over values that are the keys' own numbers, one key at a time.
fn seen(spec: &Blocked) -> Result<Vec<f32>> {
    let [_, time, heads, _] = SHAPE;
    let mut graph = Graph::new();
    let q = graph.input("query", TensorDesc::f32(SHAPE))?;
    let k = graph.input("key", TensorDesc::f32(SHAPE))?;
    let v = graph.input("value", TensorDesc::f32([1, time, heads, time]))?;
    let out = blocked(&mut graph, q, k, v, spec)?;
    graph.output("out", out)?;
    let ones = HostTensor::f32(SHAPE, vec![1.0; SHAPE.iter().product()])?;
    let which = |at: usize| if at / (heads * time) == at % time { 1.0 } else { 0.0 };
    let value = HostTensor::f32([1, time, heads, time], (0..time * heads * time).map(which).collect())?;
    let out = cpu::run(&graph, &[("query", &ones), ("key", &ones), ("value", &value)])?["out"].to_f32();
    Ok(out.chunks(heads * time).flat_map(|token| token[..time].to_vec()).collect())
}
