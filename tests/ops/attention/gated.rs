//! Linear attention under every gate: decays of heads, of steps and of channels, the delta rule with and without decays. What chunks, pieces, later
//! tokens, padding, other items and shared heads must not change.

use std::ops::Range;

use foveate::check::Random;
use foveate::ops::attention::{
    FeatureMap, LinearAttention, LinearState, linear_attention, linear_attention_with_state,
};
use foveate::ops::{add, concat, multiply, reshape, slice, sum};
use foveate::{Graph, HostTensor, Result, Value, cpu};

use super::linear::{
    F32_OF_LARGEST, HEADS, KV_HEADS, TIME, Tensors, graph, outputs, overwritten, rows, tensors,
};
use crate::support::compare::relative_error;

/// A gate: its name, what decays are of, and whether there is the delta rule and a denominator.
pub(super) struct Gate {
    pub(super) name: &'static str,
    pub(super) decay: Option<&'static str>,
    pub(super) is_delta: bool,
    is_normalised: bool,
}

pub(super) const GATES: &[Gate] = &[
    Gate { name: "decays of heads", decay: Some("of_heads"), is_delta: false, is_normalised: false },
    Gate { name: "decays of steps", decay: Some("of_steps"), is_delta: false, is_normalised: false },
    Gate { name: "decays of channels", decay: Some("of_channels"), is_delta: false, is_normalised: false },
    Gate {
        name: "decays and a denominator",
        decay: Some("of_channels"),
        is_delta: false,
        is_normalised: true,
    },
    Gate { name: "delta rule", decay: None, is_delta: true, is_normalised: false },
    Gate { name: "gated delta rule", decay: Some("of_steps"), is_delta: true, is_normalised: false },
    Gate {
        name: "delta rule with decays of channels",
        decay: Some("of_channels"),
        is_delta: true,
        is_normalised: false,
    },
];

/// Query, key and value of `batch` items, and what gates read.
pub(super) fn gated(seed: u64, batch: usize) -> Tensors {
    let mut tensors = tensors(seed, batch);
    let size = tensors[1].1.shape().dims()[3];
    let mut source = Random::new(seed + 100);
    let mut add = |name, dims: &[usize], [least, most]: [f32; 2]| {
        let numbers = (0..dims.iter().product()).map(|_| least + (most - least) * source.next_f32().abs());
        tensors.push((name, HostTensor::f32(dims, numbers.collect()).unwrap()));
    };
    add("of_heads", &[KV_HEADS], [-0.5, 0.0]);
    add("of_steps", &[batch, TIME, KV_HEADS], [-8.0, 0.0]);
    add("of_channels", &[batch, TIME, KV_HEADS, size], [-8.0, 0.0]);
    add("beta", &[batch, TIME, KV_HEADS], [0.0, 0.3]);
    tensors
}

/// What a graph has of a gate, at some of the times.
pub(super) struct Gated {
    pub(super) qkv: [Value; 3],
    pub(super) spec: LinearAttention,
}

impl Gate {
    /// The inputs `more` of `graph` at `times`, in the order of [`gated`].
    fn at(&self, graph: &mut Graph, qkv: [Value; 3], more: &[Value], times: &Range<usize>) -> Gated {
        let mut at = |value: Value| match graph.desc(value).unwrap().shape.rank() {
            1 => value,
            _ => slice(graph, value, 1, times.clone()).unwrap(),
        };
        let mut spec = match self.is_normalised {
            true => LinearAttention::new().causal(),
            false => {
                LinearAttention::new().causal().feature_map(FeatureMap::Given).unnormalised().scale(0.25)
            }
        };
        if let Some(name) = self.decay {
            let place = ["of_heads", "of_steps", "of_channels"].iter().position(|other| *other == name);
            spec = spec.decay(at(more[place.unwrap()]));
        }
        if self.is_delta {
            spec = spec.delta_rule(at(more[3]));
        }
        Gated { qkv: qkv.map(at), spec }
    }

    pub(super) fn whole(&self, graph: &mut Graph, qkv: [Value; 3], more: &[Value]) -> Gated {
        self.at(graph, qkv, more, &(0..TIME))
    }
}

/// The inputs of a gate that have gradients: query, key, value, and those of `more` that it reads.
fn differentiated(gate: &Gate, [q, k, v]: [Value; 3], more: &[Value]) -> Vec<Value> {
    let decay = ["of_heads", "of_steps", "of_channels"].iter().position(|name| gate.decay == Some(name));
    [q, k, v]
        .into_iter()
        .chain(decay.map(|place| more[place]))
        .chain(gate.is_delta.then_some(more[3]))
        .collect()
}

/// The gradients of `wrt` of the sum of `out * upstream`, and of the elements of `sums`.
fn gradients(
    graph: &mut Graph,
    (out, upstream): (Value, Value),
    sums: Option<Value>,
    wrt: &[Value],
) -> Result<Vec<Value>> {
    let products = multiply(graph, out, upstream)?;
    let mut loss = sum(graph, products, &[0, 1, 2, 3])?;
    if let Some(sums) = sums {
        let of_state = sum(graph, sums, &[0, 1, 2, 3])?;
        loss = add(graph, loss, of_state)?;
    }
    let loss = reshape(graph, loss, [1])?;
    graph.gradients(loss, wrt)
}

/// [`gated`] with an upstream gradient behind what gates read, at [`UPSTREAM`].
fn with_upstream(seed: u64, batch: usize) -> Tensors {
    let mut tensors = gated(seed, batch);
    let dims = [batch, TIME, HEADS, tensors[2].1.shape().dims()[3]];
    let mut source = Random::new(seed + 200);
    let numbers = (0..dims.iter().product()).map(|_| source.next_f32()).collect();
    tensors.push(("upstream", HostTensor::f32(dims, numbers).unwrap()));
    tensors
}

/// Where the upstream gradient stands behind query, key and value.
const UPSTREAM: usize = 4;

/// A graph of `tensors`, which are named as [`gated`] names them; what `append` makes of each gate is an output.
fn of_gates(
    tensors: &Tensors,
    mut append: impl FnMut(&mut Graph, &Gate, [Value; 3], &[Value]) -> Result<Vec<(String, Value)>>,
) -> Graph {
    graph(tensors, |graph, qkv| {
        let more: Vec<Value> =
            tensors[3..].iter().map(|(name, tensor)| graph.input(name, tensor.desc()).unwrap()).collect();
        let mut named = Vec::new();
        for gate in GATES {
            for (name, value) in append(graph, gate, qkv, &more)? {
                named.push((&*format!("{}{name}", gate.name).leak(), value));
            }
        }
        Ok(named)
    })
}

/// `out` of each gate, in the order of [`GATES`].
fn attended(tensors: &Tensors, lengths: Option<usize>) -> Vec<HostTensor> {
    let graph = of_gates(tensors, |graph, gate, qkv, more| {
        let Gated { qkv: [q, k, v], spec } = gate.whole(graph, qkv, more);
        let spec = lengths.map_or(spec.clone(), |place| spec.lengths(more[place]));
        Ok(vec![(String::new(), linear_attention(graph, q, k, v, &spec)?)])
    });
    let mut found = outputs(&graph, tensors);
    GATES.iter().map(|gate| found.remove(gate.name).unwrap()).collect()
}

/// Holds results by chunks of several lengths to those by chunks of one time.
fn assert_chunks_agree(tensors: &Tensors) {
    let graph = of_gates(tensors, |graph, gate, qkv, more| {
        let Gated { qkv: [q, k, v], spec } = gate.whole(graph, qkv, more);
        [1, 16, 64, 1 << 20]
            .into_iter()
            .map(|chunk| {
                let out = linear_attention(graph, q, k, v, &spec.clone().chunk(chunk))?;
                Ok((format!(" in chunks of {chunk}"), out))
            })
            .collect()
    });
    let found = outputs(&graph, tensors);
    assert_eq!(found.len(), 4 * GATES.len());
    for (name, out) in &found {
        let gate = name.split(" in chunks").next().unwrap();
        let error = relative_error(out, &found[&format!("{gate} in chunks of 1")]);
        assert!(error <= F32_OF_LARGEST, "{name}: {error:e}");
    }
}

#[test]
fn chunks_of_every_length_give_the_same_numbers() {
    assert_chunks_agree(&gated(6, 1));
}

/// Sums of logarithms are large from such a time on, and what follows must not be lost beside them.
#[test]
fn a_decay_to_nothing_leaves_later_decays_as_they_are() {
    for nothing in [-1e9, f32::MIN] {
        let faded = |(name, tensor): &(&'static str, HostTensor)| {
            let fades = name.starts_with("of_") && tensor.shape().rank() > 1;
            let tensor = if fades { overwritten(tensor, 0, 0..TIME, -0.1) } else { tensor.clone() };
            (*name, if fades { overwritten(&tensor, 0, 20..21, nothing) } else { tensor })
        };
        assert_chunks_agree(&gated(6, 1).iter().map(faded).collect());
    }
}

#[test]
fn a_text_in_pieces_is_the_whole_text() {
    let tensors = gated(7, 2);
    let graph = of_gates(&tensors, |graph, gate, qkv, more| {
        let (mut outs, mut state): (Vec<Value>, Option<LinearState>) = (Vec::new(), None);
        for times in [0..70, 70..71, 71..72, 72..130, 130..TIME] {
            let Gated { qkv: [q, k, v], spec } = gate.at(graph, qkv, more, &times);
            let spec = state.map_or(spec.clone(), |state| spec.state(state));
            let (out, next) = linear_attention_with_state(graph, q, k, v, &spec)?;
            outs.push(out);
            state = Some(next);
        }
        let Gated { qkv: [q, k, v], spec } = gate.whole(graph, qkv, more);
        let (whole, last) = linear_attention_with_state(graph, q, k, v, &spec)?;
        Ok(vec![
            (": whole".into(), whole),
            (": pieces".into(), concat(graph, &outs, 1)?),
            (": last of whole".into(), last.sums),
            (": last of pieces".into(), state.expect("there are pieces").sums),
        ])
    });
    let found = outputs(&graph, &tensors);
    for Gate { name, .. } in GATES {
        for part in ["", "last of "] {
            let (whole, pieces) = (format!("{name}: {part}whole"), format!("{name}: {part}pieces"));
            let error = relative_error(&found[&pieces], &found[&whole]);
            assert!(error <= F32_OF_LARGEST, "{pieces}: {error:e}");
        }
    }
}

#[test]
fn what_comes_later_changes_no_bit_of_what_was_before() {
    let tensors = gated(8, 1);
    let before = attended(&tensors, None);
    for time in [1, 64, 90] {
        let moved = tensors.iter().map(|(name, tensor)| match tensor.shape().rank() {
            1 => (*name, tensor.clone()),
            _ => {
                (*name, overwritten(tensor, 0, time..TIME, if name.starts_with("of_") { -0.5 } else { 0.5 }))
            }
        });
        let after = attended(&moved.collect(), None);
        for ((gate, before), after) in GATES.iter().zip(&before).zip(&after) {
            let name = gate.name;
            assert_eq!(rows(after, 0, 0..time), rows(before, 0, 0..time), "{name}, from {time} on");
            assert_ne!(rows(after, 0, time..TIME), rows(before, 0, time..TIME), "{name}, from {time} on");
        }
    }
}

#[test]
fn padding_of_any_kind_and_other_items_change_no_bit() {
    let mut tensors = gated(9, 3);
    let lengths = [TIME, 70, 0];
    tensors.push(("lengths", HostTensor::i32([3], lengths.map(|length| length as i32).to_vec()).unwrap()));
    let place = tensors.len() - 1 - 3;
    let expected = attended(&tensors, Some(place));
    let mut padded = tensors.clone();
    for (_, tensor) in padded[1..].iter_mut().filter(|(_, tensor)| tensor.shape().rank() >= 3) {
        for (item, length) in lengths.into_iter().enumerate() {
            *tensor = overwritten(tensor, item, length..TIME, f32::NAN);
        }
    }
    padded[0].1 = overwritten(&padded[0].1, 1, 0..TIME, -0.7);
    let found = attended(&padded, Some(place));
    for ((gate, expected), found) in GATES.iter().zip(&expected).zip(&found) {
        for item in [0, 2] {
            assert_eq!(rows(found, item, 0..TIME), rows(expected, item, 0..TIME), "{}: {item}", gate.name);
        }
        let own = rows(found, 1, 0..70);
        assert!(own.iter().all(|x| x.is_finite()) && own != rows(expected, 1, 0..70), "{}", gate.name);
    }
}

/// Key heads that are shared are as if each query head had a copy, of gates as well.
#[test]
fn grouping_heads_changes_nothing() {
    let shared = gated(10, 2);
    let group = HEADS / KV_HEADS;
    let copied = |(name, tensor): &(&'static str, HostTensor)| {
        let dims = tensor.shape().dims().to_vec();
        let axis = if dims.len() == 1 { 0 } else { 2 };
        if *name == "q" {
            return (*name, tensor.clone());
        }
        let width: usize = dims[axis + 1..].iter().product();
        let heads = tensor.to_f32();
        let heads = heads.chunks(width).flat_map(|head| std::iter::repeat_n(head, group)).flatten();
        let mut wide = dims;
        wide[axis] *= group;
        (*name, HostTensor::f32(wide, heads.copied().collect()).unwrap())
    };
    let apart: Tensors = shared.iter().map(copied).collect();
    for ((gate, shared), apart) in GATES.iter().zip(attended(&shared, None)).zip(attended(&apart, None)) {
        let error = relative_error(&shared, &apart);
        assert!(error <= F32_OF_LARGEST, "{}: {error:e}", gate.name);
    }
}

/// Where every step leaves next to nothing, each pair of a time with itself is a thousand times what decays have a gradient from. (With a denominator
/// a row is nearly the value of its own time, and its gradient is made of the difference of the two.)
#[test]
fn gradients_of_decays_are_exact_where_all_are_strong() {
    let strong = |(name, tensor): (&'static str, HostTensor)| match name.starts_with("of_") {
        true => {
            (name, HostTensor::f32(tensor.shape().clone(), vec![-8.0; tensor.shape().elements()]).unwrap())
        }
        false => (name, tensor),
    };
    let tensors: Tensors = with_upstream(13, 1).into_iter().map(strong).collect();
    for has_state in [false, true] {
        let graph = of_gates(&tensors, |graph, gate, qkv, more| {
            if gate.is_normalised {
                return Ok(Vec::new());
            }
            let Gated { qkv: [q, k, v], spec } = gate.whole(graph, qkv, more);
            let (out, state) = linear_attention_with_state(graph, q, k, v, &spec)?;
            let wrt = differentiated(gate, qkv, more);
            let found = gradients(graph, (out, more[UPSTREAM]), has_state.then_some(state.sums), &wrt)?;
            Ok((0..).zip(found).map(|(at, gradient)| (format!(": gradient {at}"), gradient)).collect())
        });
        let inputs: Vec<(&str, &HostTensor)> = tensors.iter().map(|(name, tensor)| (*name, tensor)).collect();
        let expected = cpu::run(&graph, &inputs).unwrap();
        for (name, found) in outputs(&graph, &tensors) {
            let error = relative_error(&found, &expected[&name]);
            // Those of heads are sums over all steps, of either sign.
            assert!(error <= 1e-4, "{name}, of the state: {has_state}: {error:e}");
        }
    }
}

/// A backward pass computes what is wanted of it alone: a gradient by itself is what it is beside the others, to rounding, as pairs of a time with
/// itself are added up apart where decays have one.
#[test]
fn one_gradient_alone_is_that_beside_the_others() {
    let mut tensors = with_upstream(14, 1);
    let [size, value_size] = [1, 2].map(|place: usize| tensors[place].1.shape().dims()[3]);
    let mut source = Random::new(15);
    let sums = (0..KV_HEADS * size * value_size).map(|_| source.next_f32()).collect();
    tensors.push(("sums", HostTensor::f32([1, KV_HEADS, size, value_size], sums).unwrap()));
    let of = |alone: Option<usize>| {
        let graph = of_gates(&tensors, |graph, gate, qkv, more| {
            let Gated { qkv: [q, k, v], mut spec } = gate.whole(graph, qkv, more);
            let mut wrt = differentiated(gate, qkv, more);
            if !gate.is_normalised {
                spec = spec.state(LinearState { sums: more[UPSTREAM + 1], normalizer: None });
                wrt.push(more[UPSTREAM + 1]);
            }
            let (out, state) = linear_attention_with_state(graph, q, k, v, &spec)?;
            let wrt: Vec<(usize, Value)> =
                (0..).zip(wrt).filter(|(at, _)| alone.is_none_or(|alone| alone == *at)).collect();
            let values: Vec<Value> = wrt.iter().map(|(_, value)| *value).collect();
            let found = gradients(graph, (out, more[UPSTREAM]), Some(state.sums), &values)?;
            Ok(wrt.into_iter().zip(found).map(|((at, _), gradient)| (format!(": {at}"), gradient)).collect())
        });
        outputs(&graph, &tensors)
    };
    let all = of(None);
    let mut seen = 0;
    for alone in 0..6 {
        for (name, found) in of(Some(alone)) {
            let error = relative_error(&found, &all[&name]);
            assert!(error <= 5.0 * F32_OF_LARGEST, "{name}: {error:e}");
            seen += 1;
        }
    }
    assert_eq!(seen, all.len());
}

#[test]
fn padding_of_any_kind_reaches_no_gradient() {
    let lengths = [TIME, 70, 0];
    let mut tensors = with_upstream(15, 3);
    tensors.push(("lengths", HostTensor::i32([3], lengths.map(|length| length as i32).to_vec()).unwrap()));
    let found = |padding: f32| {
        let mut tensors = tensors.clone();
        // All but queries and their upstream gradients, which are not masked.
        for (_, tensor) in tensors[1..7].iter_mut().filter(|(_, tensor)| tensor.shape().rank() >= 3) {
            for (item, length) in lengths.into_iter().enumerate() {
                *tensor = overwritten(tensor, item, length..TIME, padding);
            }
        }
        let graph = of_gates(&tensors, |graph, gate, qkv, more| {
            let Gated { qkv: [q, k, v], spec } = gate.whole(graph, qkv, more);
            let spec = spec.lengths(more[UPSTREAM + 1]);
            let (out, state) = linear_attention_with_state(graph, q, k, v, &spec)?;
            let wrt = differentiated(gate, qkv, more);
            let found = gradients(graph, (out, more[UPSTREAM]), Some(state.sums), &wrt)?;
            Ok((0..).zip(found).map(|(at, gradient)| (format!(": gradient {at}"), gradient)).collect())
        });
        outputs(&graph, &tensors)
    };
    let (zeros, unknown) = (found(0.0), found(f32::NAN));
    for (name, gradient) in &zeros {
        assert!(unknown[name].bytes() == gradient.bytes(), "{name}");
        let is_of_keys = gradient.shape().rank() >= 3 && !name.ends_with(" 0");
        for (item, length) in lengths.into_iter().enumerate().filter(|_| is_of_keys) {
            assert!(rows(gradient, item, length..TIME).iter().all(|&x| x == 0.0), "{name}, item {item}");
        }
    }
}
