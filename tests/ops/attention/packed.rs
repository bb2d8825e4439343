//! Linear attention over packed sequences: what one of them holds, finite or not, changes no bit of the others, forwards and backwards.

use std::ops::Range;

use foveate::check::Random;
use foveate::gpu::Program;
use foveate::ops::attention::{LinearAttention, linear_attention_with_state};
use foveate::ops::{add, multiply, reshape, sum};
use foveate::{Graph, HostTensor, Result, Value};

use super::gated::{GATES, Gated, gated};
use super::linear::{HEADS, TIME, Tensors, graph, overwritten, rows};
use crate::support::{context, plan};

/// Sequences end and begin within chunks and within tiles of these.
const LENGTHS: [usize; 4] = [37, 50, 5, 58];

/// The sequence that holds other numbers.
const SPOILT: Range<usize> = 37..87;

/// Where the tensors stand that are not gates': `segments` and the upstream gradient.
const SEGMENTS: usize = 7;
const UPSTREAM: usize = 8;

fn packed() -> Tensors {
    let mut tensors = gated(11, 1);
    let ids = (0..).zip(LENGTHS).flat_map(|(id, length)| std::iter::repeat_n(id, length)).collect();
    tensors.push(("segments", HostTensor::i32([1, TIME], ids).unwrap()));
    let value_size = tensors[2].1.shape().dims()[3];
    let dims = [1, TIME, HEADS, value_size];
    let mut source = Random::new(12);
    let numbers = (0..dims.iter().product()).map(|_| source.next_f32()).collect();
    tensors.push(("upstream", HostTensor::f32(dims, numbers).unwrap()));
    assert_eq!((tensors[SEGMENTS].0, tensors[UPSTREAM].0), ("segments", "upstream"));
    tensors
}

/// `out` and the state of a rule, and the gradients of what it reads of each time.
fn append(
    graph: &mut Graph,
    name: &str,
    (spec, [q, k, v]): (LinearAttention, [Value; 3]),
    gates: &[Value],
    values: &[Value],
) -> Result<Vec<(&'static str, Value)>> {
    let spec = spec.segments(values[SEGMENTS]);
    let (out, state) = linear_attention_with_state(graph, q, k, v, &spec)?;
    let wanted: Vec<Value> = [q, k, v].into_iter().chain(gates.iter().copied()).collect();
    let products = multiply(graph, out, values[UPSTREAM])?;
    let of_rows = sum(graph, products, &[0, 1, 2, 3])?;
    let of_state = sum(graph, state.sums, &[0, 1, 2, 3])?;
    let loss = add(graph, of_rows, of_state)?;
    let loss = reshape(graph, loss, [1])?;
    let gradients = graph.gradients(loss, &wanted)?;
    let mut named = vec![("out".to_owned(), out), ("sums".to_owned(), state.sums)];
    named.extend((0..).zip(gradients).map(|(i, gradient)| (format!("gradient {i}"), gradient)));
    Ok(named.into_iter().map(|(of, value)| (&*format!("{name}: {of}").leak(), value)).collect())
}

fn of_all(tensors: &Tensors) -> Graph {
    graph(tensors, |graph, qkv| {
        let mut values = qkv.to_vec();
        values.extend(tensors[3..].iter().map(|(name, tensor)| graph.input(name, tensor.desc()).unwrap()));
        let plain = LinearAttention::new();
        let mut named = append(graph, "causal", (plain.clone().causal(), qkv), &[], &values)?;
        named.extend(append(graph, "without order", (plain.clone(), qkv), &[], &values)?);
        named.extend(append(graph, "chunks of 7", (plain.chunk(7), qkv), &[], &values)?);
        for gate in GATES {
            let Gated { qkv, spec } = gate.whole(graph, qkv, &values[3..]);
            let decay = match gate.decay {
                Some("of_steps") => Some(values[4]),
                Some("of_channels") => Some(values[5]),
                _ => None,
            };
            let gates: Vec<Value> = decay.into_iter().chain(gate.is_delta.then_some(values[6])).collect();
            named.extend(append(graph, gate.name, (spec, qkv), &gates, &values)?);
        }
        Ok(named)
    })
}

#[test]
fn what_a_sequence_holds_changes_no_bit_of_the_others() {
    let tensors = packed();
    let program = Program::new(context(), &plan(&of_all(&tensors))).unwrap();
    let run = |tensors: &Tensors| {
        let inputs: Vec<(&str, &HostTensor)> = tensors.iter().map(|(name, tensor)| (*name, tensor)).collect();
        program.run(&inputs).unwrap()
    };
    let bits = |tensor: &HostTensor, times| -> Vec<u32> {
        rows(tensor, 0, times).into_iter().map(f32::to_bits).collect()
    };
    let expected = run(&tensors);
    for place in [0, 1, 2, 4, 5, 6, UPSTREAM] {
        for x in [f32::NAN, f32::INFINITY, -0.5] {
            let mut spoilt = tensors.clone();
            spoilt[place].1 = overwritten(&tensors[place].1, 0, SPOILT, x);
            for (name, found) in run(&spoilt) {
                let (expected, of) = (&expected[&name], format!("{name}, {x} in {}", tensors[place].0));
                if name.ends_with("sums") {
                    assert_eq!(found.to_f32(), expected.to_f32(), "{of}");
                    continue;
                }
                for times in [0..SPOILT.start, SPOILT.end..TIME] {
                    assert_eq!(bits(&found, times.clone()), bits(expected, times), "{of}");
                }
            }
        }
    }
}
