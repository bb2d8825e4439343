//! What lies behind the end of a sequence changes nothing.

use super::*;

#[test]
fn padding_of_any_kind_and_other_items_change_nothing() {
    let width = HEADS * SIZE;
    for (name, record) in ALL {
        for length in [17, COUNT] {
            let tensors = qkv(3);
            let alone = tensors
                .each_ref()
                .map(|tensor| HostTensor::f32([1, length, HEADS, SIZE], rows(tensor, 1, length)).unwrap());
            let expected = attended(*record, &alone, None);
            let padded = tensors.each_ref().map(|tensor| from_on(tensor, 1, length, f32::NAN));
            let found = attended(*record, &padded, Some(&[TIME as i32, length as i32, 0]));
            let own = &found[TIME * width..(TIME + length) * width];
            assert_near(&format!("{name}, {length} tokens"), own, &expected);
            let others = found[..TIME * width].iter().chain(&found[2 * TIME * width..]);
            assert!(others.into_iter().all(|x| x.is_finite()), "{name}, {length} tokens");
        }
    }
}

/// The item's outputs, and gradients of what reaches its tokens' outputs, with `padding` in keys and values behind `lengths`.
fn with_padding(record: Record, lengths: [usize; 3], padding: f32) -> Vec<Vec<f32>> {
    let mut problem = Problem::default();
    let mut tensors = qkv(3);
    for tensor in &mut tensors[1..] {
        for (item, &length) in lengths.iter().enumerate() {
            *tensor = from_on(tensor, item, length, padding);
        }
    }
    let values = tensors.map(|tensor| problem.input(tensor));
    let of_items = lengths.map(|length| length as i32).to_vec();
    let of_items = problem.input(HostTensor::i32([3], of_items).unwrap());
    let out = record(&mut problem, values, Some(of_items)).unwrap();
    // Only tokens count.
    let width = HEADS * SIZE;
    let upstream: Vec<f32> = random(60, &[3, TIME, HEADS, SIZE]).to_f32();
    let is_token = |at: usize| at / width % TIME < lengths[at / (width * TIME)];
    let upstream = upstream.iter().enumerate().map(|(at, x)| if is_token(at) { *x } else { 0.0 }).collect();
    let upstream = problem.input(HostTensor::f32([3, TIME, HEADS, SIZE], upstream).unwrap());
    let graph = &mut problem.graph;
    let products = ops::multiply(graph, out, upstream).unwrap();
    let loss = ops::sum(graph, products, &[0, 1, 2, 3]).unwrap();
    let loss = ops::reshape(graph, loss, [1]).unwrap();
    let gradients = graph.gradients(loss, &values).unwrap();
    problem.run(&[vec![products], gradients].concat())
}

#[test]
fn padding_reaches_neither_results_nor_gradients() {
    for (name, record) in ALL {
        // As many tokens as landmarks and clusters; fewer than chosen keys; none.
        for lengths in [[TIME, 17, COUNT], [3, 1, 0]] {
            let expected = with_padding(*record, lengths, 0.0);
            for padding in [f32::NAN, 1e30] {
                let found = with_padding(*record, lengths, padding);
                for (at, (found, expected)) in found.iter().zip(&expected).enumerate() {
                    assert_near(&format!("{name}, {lengths:?}, {padding}, result {at}"), found, expected);
                }
            }
        }
    }
}
