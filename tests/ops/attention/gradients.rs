use std::collections::BTreeMap;

use foveate::check::Random;
use foveate::ops::attention::{Alignment, Blocked, LogSparse, Mask, blocked};
use foveate::ops::{multiply, reshape, sum};
use foveate::{Graph, HostTensor, Value, cpu};
use proptest::prelude::*;

use super::blocked::{F32_OF_LARGEST, any_mask};
use crate::support::run;

const GRADIENTS: [&str; 3] = ["dq", "dk", "dv"];

/// The gradients of `wrt` where that of `out: [batch, time, heads, channels]` is `d_out`: those of the sum of `out * d_out`.
pub(super) fn gradients_from(graph: &mut Graph, pair: (Value, Value), wrt: [Value; 3]) -> [Value; 3] {
    gradients_of(graph, pair, &wrt).try_into().unwrap()
}

/// The same of any number of values.
pub(super) fn gradients_of(graph: &mut Graph, (out, d_out): (Value, Value), wrt: &[Value]) -> Vec<Value> {
    let product = multiply(graph, out, d_out).unwrap();
    let total = sum(graph, product, &[0, 1, 2, 3]).unwrap();
    let loss = reshape(graph, total, []).unwrap();
    graph.gradients(loss, wrt).unwrap()
}

/// `dq`, `dk` and `dv` of `q`, `k`, `v` and `d_out` among `inputs`, on the device or on the CPU reference. `set` is handed the
/// values of all inputs by name.
fn differentiate(
    inputs: &[(&str, &HostTensor)],
    set: impl Fn(&BTreeMap<&str, Value>) -> Blocked,
    on_device: bool,
) -> BTreeMap<String, HostTensor> {
    let mut graph = Graph::new();
    let values: BTreeMap<&str, Value> =
        inputs.iter().map(|(name, tensor)| (*name, graph.input(name, tensor.desc()).unwrap())).collect();
    let [q, k, v, d_out] = ["q", "k", "v", "d_out"].map(|name| values[name]);
    let out = blocked(&mut graph, q, k, v, &set(&values)).unwrap();
    for (name, value) in GRADIENTS.into_iter().zip(gradients_from(&mut graph, (out, d_out), [q, k, v])) {
        graph.output(name, value).unwrap();
    }
    if on_device { run(&graph, inputs) } else { cpu::run(&graph, inputs).unwrap() }
}

/// Two heads of 16 channels, the size of a token in these tests.
const TOKEN: usize = 2 * 16;

/// Random `q`, `k`, `v` and `d_out` of `[batch, time, 2, 16]`.
fn random(seed: u64, batch: usize, time: usize) -> [HostTensor; 4] {
    let mut random = Random::new(seed);
    [(); 4].map(|()| {
        let elements = (0..batch * time * TOKEN).map(|_| random.next_f32()).collect();
        HostTensor::f32([batch, time, 2, 16], elements).unwrap()
    })
}

/// Elements of `dq`, `dk` and `dv` on the device.
fn gradients(
    tensors: &[HostTensor; 4],
    optional: Option<&HostTensor>,
    set: impl Fn(Option<Value>) -> Blocked,
) -> [Vec<f32>; 3] {
    let mut inputs: Vec<(&str, &HostTensor)> = ["q", "k", "v", "d_out"].into_iter().zip(tensors).collect();
    inputs.extend(optional.map(|tensor| ("optional", tensor)));
    let found = differentiate(&inputs, |values| set(values.get("optional").copied()), true);
    GRADIENTS.map(|name| found[name].to_f32())
}

fn masked(tensors: &[HostTensor; 4], mask: Mask) -> [Vec<f32>; 3] {
    gradients(tensors, None, |_| Blocked::new().mask(mask.clone()))
}

/// With all keys from `lengths` on hidden.
fn padded(tensors: &[HostTensor; 4], mask: Mask, lengths: &[i32]) -> [Vec<f32>; 3] {
    let lengths = HostTensor::i32([lengths.len()], lengths.to_vec()).unwrap();
    gradients(tensors, Some(&lengths), |lengths| {
        let spec = Blocked::new().mask(mask.clone());
        lengths.into_iter().fold(spec, Blocked::lengths)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_window_as_long_as_the_keys_is_no_window(time in 1usize..140, seed: u64) {
        let tensors = random(seed, 1, time);
        let wide = time as u32;
        prop_assert_eq!(masked(&tensors, Mask::full()), masked(&tensors, Mask::window(wide, wide)));
        prop_assert_eq!(masked(&tensors, Mask::causal()), masked(&tensors, Mask::window(wide, 0)));
    }

    #[test]
    fn padded_keys_change_no_gradient_and_get_none(time in 1usize..100, padding in 1usize..80, seed: u64) {
        let plain = random(seed, 1, time);
        let mut longer = plain.clone();
        for i in [1, 2] {
            let mut data = plain[i].to_f32();
            // What padding holds must not matter: a NaN would spread from a product with a zero weight.
            data.resize((time + padding) * TOKEN, 1e30);
            longer[i] = HostTensor::f32([1, time + padding, 2, 16], data).unwrap();
        }
        let expected = masked(&plain, Mask::full());
        let found = padded(&longer, Mask::full(), &[time as i32]);
        prop_assert_eq!(&found[0], &expected[0]);
        for (found, expected) in found[1..].iter().zip(&expected[1..]) {
            let (real, padding) = found.split_at(time * TOKEN);
            prop_assert_eq!(real, &expected[..]);
            prop_assert!(padding.iter().all(|&x| x == 0.0));
        }
    }

    #[test]
    fn packed_sequences_are_as_if_alone(
        lengths in prop::collection::vec(1usize..90, 1..6),
        mask in any_mask(),
        seed: u64,
    ) {
        let time: usize = lengths.iter().sum();
        let tensors = random(seed, 1, time);
        let ids: Vec<i32> = (0..).zip(&lengths).flat_map(|(id, &length)| vec![id; length]).collect();
        let ids = HostTensor::i32([1, time], ids).unwrap();
        let packed = gradients(&tensors, Some(&ids), |ids| {
            let spec = Blocked::new().mask(mask.clone());
            ids.into_iter().fold(spec, Blocked::segments)
        });
        let mut at = 0;
        let mut alone = [(); 3].map(|()| Vec::new());
        for length in lengths {
            let own = at * TOKEN..(at + length) * TOKEN;
            let cut = |t: &HostTensor| HostTensor::f32([1, length, 2, 16], t.to_f32()[own.clone()].to_vec()).unwrap();
            let found = masked(&tensors.each_ref().map(cut), mask.clone());
            alone.iter_mut().zip(found).for_each(|(all, one)| all.extend(one));
            at += length;
        }
        // Tiles begin elsewhere when sequences are packed, so sums are rounded otherwise. A sequence of one has a dq of 0.
        for (found, expected) in packed.iter().zip(&alone) {
            let largest = packed.iter().flatten().fold(0.0, |largest: f32, x| largest.max(x.abs()));
            let worst = found.iter().zip(expected).fold(0.0, |worst: f32, (a, b)| worst.max((a - b).abs()));
            prop_assert!(f64::from(worst) <= F32_OF_LARGEST * f64::from(largest), "{worst:e} of {largest:e}");
        }
    }

    #[test]
    fn ids_out_of_order_give_finite_gradients(ids in prop::collection::vec(-3i32..4, 1..200), seed: u64) {
        let tensors = random(seed, 1, ids.len());
        let ids = HostTensor::i32([1, ids.len()], ids).unwrap();
        let found = gradients(&tensors, Some(&ids), |ids| ids.map_or(Blocked::new(), |ids| Blocked::new().segments(ids)));
        prop_assert!(found.iter().flatten().all(|x| x.is_finite()));
    }
}

#[test]
fn rows_and_items_that_see_nothing_have_gradients_of_exactly_0() {
    // The second item has no keys; opposite a shorter key sequence, the first 30 queries of the first have none either.
    let mut tensors = random(3, 2, 70);
    for i in [1, 2] {
        let rows: Vec<f32> =
            tensors[i].to_f32().chunks(70 * TOKEN).flat_map(|item| item[..40 * TOKEN].to_vec()).collect();
        tensors[i] = HostTensor::f32([2, 40, 2, 16], rows).unwrap();
    }
    let [dq, dk, dv] = padded(&tensors, Mask::causal(), &[40, 0]);
    for (gradient, time, unseen) in [(&dq, 70, 30), (&dk, 40, 0), (&dv, 40, 0)] {
        let (first, second) = gradient.split_at(time * TOKEN);
        assert!(first[..unseen * TOKEN].iter().chain(second).all(|&x| x == 0.0));
        assert!(first[(unseen + 1) * TOKEN..].iter().all(|&x| x.is_finite() && x != 0.0));
    }
}

#[test]
fn a_single_key_gives_the_query_and_itself_no_gradient() {
    // The weight is 1 whatever the score.
    let tensors = random(5, 3, 1);
    let [dq, dk, dv] = masked(&tensors, Mask::full());
    assert!(dq.iter().chain(&dk).all(|&x| x == 0.0));
    assert_eq!(dv, tensors[3].to_f32());
}

/// A backward pass computes what is wanted of it alone: a gradient by itself is what it is beside the others, bit by bit.
#[test]
fn one_gradient_alone_is_that_beside_the_others() {
    let tensors = random(13, 1, 70);
    let inputs: Vec<(&str, &HostTensor)> = ["q", "k", "v", "d_out"].into_iter().zip(&tensors).collect();
    let far = LogSparse { local: 2, restart: None };
    for mask in [Mask::window(5, 2), Mask::strided(7), Mask::fixed(8, 2), Mask::log_sparse(far)] {
        let all = masked(&tensors, mask.clone());
        for (at, all) in all.iter().enumerate() {
            let mut graph = Graph::new();
            let values = inputs.clone().into_iter().map(|(name, tensor)| graph.input(name, tensor.desc()));
            let values: Vec<Value> = values.collect::<foveate::Result<_>>().unwrap();
            let [q, k, v, d_out] = values[..] else { unreachable!("there are four inputs") };
            let out = blocked(&mut graph, q, k, v, &Blocked::new().mask(mask.clone())).unwrap();
            let alone = gradients_of(&mut graph, (out, d_out), &[[q, k, v][at]]);
            graph.output("alone", alone[0]).unwrap();
            assert_eq!(&run(&graph, &inputs)["alone"].to_f32(), all, "{} under {mask:?}", GRADIENTS[at]);
        }
    }
}

#[test]
fn both_alignments_differ_where_lengths_do() {
    let mut tensors = random(9, 1, 40);
    for i in [0, 3] {
        tensors[i] = HostTensor::f32([1, 25, 2, 16], tensors[i].to_f32()[..25 * TOKEN].to_vec()).unwrap();
    }
    let of = |alignment| masked(&tensors, Mask::causal().aligned(alignment));
    // Top-left, the last 15 keys are seen by nobody.
    let [_, dk, dv] = of(Alignment::TopLeft);
    assert!(dk[25 * TOKEN..].iter().chain(&dv[25 * TOKEN..]).all(|&x| x == 0.0));
    let [_, dk, dv] = of(Alignment::BottomRight);
    assert!(dk[39 * TOKEN..].iter().chain(&dv[39 * TOKEN..]).all(|&x| x != 0.0));
}
