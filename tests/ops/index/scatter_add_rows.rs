use foveate::ops::scatter_add_rows;
use foveate::{Caps, Error, ErrorKind, Graph, HostTensor, Plan, TensorDesc};

use crate::support::{refused, run};

#[test]
fn a_row_that_most_indices_name_is_not_added_up_by_one_invocation() {
    // Sums of ones are exact in any order; a row counted twice or not at all shows.
    const ROWS: usize = 10_007;
    let mut graph = Graph::new();
    let ids = graph.input("ids", TensorDesc::u32([ROWS])).unwrap();
    let rows = graph.input("rows", TensorDesc::f32([ROWS, 3])).unwrap();
    let sums = scatter_add_rows(&mut graph, rows, ids, &[3]).unwrap();
    graph.output("sums", sums).unwrap();
    let ids: Vec<u32> = (0..ROWS as u32).map(|i| u32::from(i % 100 == 7) * (1 + i % 3)).collect();
    let counts = [0, 1, 2].map(|row| ids.iter().filter(|&&id| id == row).count() as f32);
    let inputs = [
        ("ids", &HostTensor::u32([ROWS], ids).unwrap()),
        ("rows", &HostTensor::f32([ROWS, 3], vec![1.0; 3 * ROWS]).unwrap()),
    ];
    let expected: Vec<f32> = counts.into_iter().flat_map(|count| [count; 3]).collect();
    assert_eq!(run(&graph, &inputs)["sums"].to_f32(), expected);
}

#[test]
fn arguments_that_do_not_fit_are_refused() {
    let check = |rows: TensorDesc, indices: TensorDesc, outer: &[usize], kind, argument| {
        let error: Error = refused(&[rows, indices], |graph, v| scatter_add_rows(graph, v[0], v[1], outer));
        assert_eq!((error.kind(), error.op(), error.argument()), (kind, "index/scatter_add_rows", argument));
    };
    let (rows, indices) = (TensorDesc::f32([2, 3, 4]), TensorDesc::i32([2, 3]));
    check(rows.clone(), indices.clone(), &[], ErrorKind::Argument, "outer");
    check(rows.clone(), indices.clone(), &[3, 9], ErrorKind::Shape, "rows");
    check(TensorDesc::i32([2, 3, 4]), indices.clone(), &[9], ErrorKind::Dtype, "rows");
    check(TensorDesc::f32([]), TensorDesc::i32([]), &[9], ErrorKind::Shape, "rows");
    check(rows.clone(), TensorDesc::f32([2, 3]), &[9], ErrorKind::Dtype, "indices");
    for shape in [&[2][..], &[3, 2], &[2, 3, 4, 1]] {
        check(rows.clone(), TensorDesc::i32(shape), &[9], ErrorKind::Shape, "indices");
    }
}

#[test]
fn a_result_larger_than_a_binding_is_refused() {
    let mut graph = Graph::new();
    let ids = graph.input("ids", TensorDesc::u32([2])).unwrap();
    let rows = graph.input("rows", TensorDesc::f32([2, 4])).unwrap();
    let sums = scatter_add_rows(&mut graph, rows, ids, &[100]).unwrap();
    graph.output("sums", sums).unwrap();
    let error = Plan::new(&graph, &Caps { max_binding_bytes: 1599, ..Caps::webgpu_default() }).unwrap_err();
    let found = (error.kind(), error.op(), error.argument());
    assert_eq!(found, (ErrorKind::Limit, "index/scatter_add_rows", "result"));
}
