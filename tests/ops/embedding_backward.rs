use foveate::ops::embedding_backward;
use foveate::{Caps, ErrorKind, Graph, HostTensor, Plan, TensorDesc};

use crate::support::{assert_error, refused, run};

#[test]
fn a_row_that_all_tokens_share_is_not_added_up_by_one_invocation() {
    // Sums of ones are exact in any order; a token counted twice or not at all shows.
    const TOKENS: usize = 10_007;
    let mut graph = Graph::new();
    let ids = graph.input("ids", TensorDesc::u32([TOKENS])).unwrap();
    let upstream = graph.input("upstream", TensorDesc::f32([TOKENS, 3])).unwrap();
    let d_table = embedding_backward(&mut graph, ids, upstream, 3).unwrap();
    graph.output("d_table", d_table).unwrap();
    let ids: Vec<u32> = (0..TOKENS as u32).map(|i| u32::from(i % 100 == 7) * (1 + i % 3)).collect();
    let counts = [0, 1, 2].map(|row| ids.iter().filter(|&&id| id == row).count() as f32);
    let inputs = [
        ("ids", &HostTensor::u32([TOKENS], ids).unwrap()),
        ("upstream", &HostTensor::f32([TOKENS, 3], vec![1.0; 3 * TOKENS]).unwrap()),
    ];
    let expected: Vec<f32> = counts.into_iter().flat_map(|count| [count; 3]).collect();
    assert_eq!(run(&graph, &inputs)["d_table"].to_f32(), expected);
}

#[test]
fn arguments_that_do_not_fit_are_refused() {
    let check = |ids: TensorDesc, upstream: TensorDesc, rows, kind, sentence| {
        let error = refused(&[ids, upstream], |graph, v| embedding_backward(graph, v[0], v[1], rows));
        assert_error(&error, kind, sentence);
    };
    let ids = TensorDesc::i32([2, 3]);
    check(
        ids.clone(),
        TensorDesc::f32([2, 4]),
        5,
        ErrorKind::Shape,
        "embedding_backward: upstream: expected the shape [2, 3] of ids with an axis of at least 1 behind it, found [2, 4]",
    );
    check(
        TensorDesc::f32([2, 3]),
        TensorDesc::f32([2, 3, 4]),
        5,
        ErrorKind::Dtype,
        "embedding_backward: ids: expected i32 or u32, found f32",
    );
    check(
        ids,
        TensorDesc::f32([2, 3, 4]),
        0,
        ErrorKind::Argument,
        "embedding_backward: rows: expected at least one, found 0",
    );
}

#[test]
fn a_gradient_larger_than_a_binding_is_refused() {
    let mut graph = Graph::new();
    let ids = graph.input("ids", TensorDesc::u32([2])).unwrap();
    let upstream = graph.input("upstream", TensorDesc::f32([2, 4])).unwrap();
    let d_table = embedding_backward(&mut graph, ids, upstream, 100).unwrap();
    graph.output("d_table", d_table).unwrap();
    let error = Plan::new(&graph, &Caps { max_binding_bytes: 1599, ..Caps::webgpu_default() }).unwrap_err();
    let sentence =
        "embedding_backward: d_table: expected at most 1599 bytes in one storage binding, found 1600";
    assert_error(&error, ErrorKind::Limit, sentence);
}
