use foveate::ops::{Pool, pool, sum};
use foveate::{ErrorKind, Graph, HostTensor, TensorDesc};

use crate::support::{assert_error, refused, run};

#[test]
fn ids_that_decrease_harm_nothing() {
    let mut graph = Graph::new();
    let x = graph.input("x", TensorDesc::f32([1, 6, 4])).unwrap();
    let ids = graph.input("ids", TensorDesc::i32([1, 6])).unwrap();
    let y = pool(&mut graph, x, &Pool::mean().segments(ids, 3)).unwrap();
    graph.output("y", y).unwrap();
    let x = HostTensor::f32([1, 6, 4], vec![1.0; 24]).unwrap();
    let ids = HostTensor::i32([1, 6], vec![2, 0, 1, 2, 0, -5]).unwrap();
    // Whatever was pooled came from x.
    let y = run(&graph, &[("x", &x), ("ids", &ids)])["y"].to_f32();
    assert!(y.iter().all(|&y| y == 0.0 || y == 1.0), "{y:?}");
}

#[test]
fn gradients_of_ids_that_decrease_harm_nothing() {
    for spec in [Pool::mean(), Pool::max(), Pool::first(), Pool::last()] {
        let mut graph = Graph::new();
        let x = graph.input("x", TensorDesc::f32([1, 6, 4])).unwrap();
        let ids = graph.input("ids", TensorDesc::i32([1, 6])).unwrap();
        let y = pool(&mut graph, x, &spec.segments(ids, 3)).unwrap();
        let loss = sum(&mut graph, y, &[0, 1, 2]).unwrap();
        let dx = graph.gradients(loss, &[x]).unwrap();
        graph.output("dx", dx[0]).unwrap();
        let x = HostTensor::f32([1, 6, 4], vec![1.0; 24]).unwrap();
        let ids = HostTensor::i32([1, 6], vec![2, 0, 1, 2, 0, -5]).unwrap();
        // Whatever was given came from upstream, which is 1.
        let dx = run(&graph, &[("x", &x), ("ids", &ids)])["dx"].to_f32();
        assert!(dx.iter().all(|dx| (0.0..=1.0).contains(dx)), "{dx:?}");
    }
}

#[test]
fn the_last_is_that_of_each_sequence() {
    let last = |spec: &dyn Fn(&mut Graph) -> Pool, inputs: &[(&str, &HostTensor)]| {
        let mut graph = Graph::new();
        let x = graph.input("x", TensorDesc::f32([2, 3, 1])).unwrap();
        let spec = spec(&mut graph);
        let y = pool(&mut graph, x, &spec).unwrap();
        graph.output("y", y).unwrap();
        let x = HostTensor::f32([2, 3, 1], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap();
        run(&graph, &[&[("x", &x)], inputs].concat())["y"].to_f32()
    };
    assert_eq!(last(&|_| Pool::last(), &[]), [3.0, 6.0]);
    let lengths = HostTensor::i32([2], vec![2, 0]).unwrap();
    let spec = |graph: &mut Graph| Pool::last().lengths(graph.input("n", TensorDesc::i32([2])).unwrap());
    assert_eq!(last(&spec, &[("n", &lengths)]), [2.0, 0.0]);
    let ids = HostTensor::i32([2, 3], vec![0, 0, 2, 1, 2, 2]).unwrap();
    let spec =
        |graph: &mut Graph| Pool::last().segments(graph.input("ids", TensorDesc::i32([2, 3])).unwrap(), 3);
    assert_eq!(last(&spec, &[("ids", &ids)]), [2.0, 0.0, 3.0, 0.0, 4.0, 6.0]);
}

#[test]
fn lengths_and_segments_exclude_each_other() {
    let descs = [TensorDesc::f32([2, 3, 4]), TensorDesc::i32([2]), TensorDesc::i32([2, 3])];
    let error = refused(&descs, |graph, v| pool(graph, v[0], &Pool::max().lengths(v[1]).segments(v[2], 2)));
    assert_error(&error, ErrorKind::Argument, "pool: segments");
}

#[test]
fn arguments_that_do_not_fit_are_refused() {
    let x = TensorDesc::f32([2, 3, 4]);
    let with_lengths = |x: &TensorDesc, lengths: TensorDesc| {
        refused(&[x.clone(), lengths], |graph, v| pool(graph, v[0], &Pool::mean().lengths(v[1])))
    };
    let with_ids = |ids: TensorDesc, count| {
        refused(&[x.clone(), ids], |graph, v| pool(graph, v[0], &Pool::mean().segments(v[1], count)))
    };
    assert_error(&with_lengths(&x, TensorDesc::i32([3])), ErrorKind::Shape, "pool: lengths");
    assert_error(&with_lengths(&x, TensorDesc::f32([2])), ErrorKind::Dtype, "pool: lengths");
    assert_error(&with_lengths(&TensorDesc::f32([2, 3]), TensorDesc::i32([2])), ErrorKind::Shape, "pool: x");
    assert_error(&with_ids(TensorDesc::i32([2, 4]), 2), ErrorKind::Shape, "pool: ids");
    assert_error(&with_ids(TensorDesc::i32([2, 3]), 1 << 31), ErrorKind::Argument, "pool: count");
}
