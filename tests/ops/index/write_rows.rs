use foveate::gpu::{Parameters, Program, Session};
use foveate::ops::{read_rows, write_rows};
use foveate::plan::Command;
use foveate::{ErrorKind, Graph, HostTensor, TensorDesc, Value};

use crate::support::{context, plan, refused};

/// A cache of 2 streams with room for 4 rows of 3, which each run writes a row of each stream into.
fn cache(graph: &mut Graph) -> (Value, Value) {
    let cache = graph.parameter("cache", TensorDesc::f32([2, 4, 3])).unwrap();
    let rows = graph.input("rows", TensorDesc::f32([2, 1, 3])).unwrap();
    let at = graph.input("at", TensorDesc::i32([2])).unwrap();
    let written = write_rows(graph, cache, rows, at).unwrap();
    graph.update(cache, written).unwrap();
    (written, at)
}

#[test]
fn a_cache_is_written_in_place_and_read_back() {
    let mut graph = Graph::new();
    let (written, at) = cache(&mut graph);
    let last = read_rows(&mut graph, written, at, 1).unwrap();
    graph.output("last", last).unwrap();
    let plan = plan(&graph);
    let copies = plan.commands().iter().filter(|command| matches!(command, Command::Copy { .. })).count();
    assert_eq!(copies, 0, "the parameter itself is written");

    let zeros = HostTensor::f32([2, 4, 3], vec![0.0; 24]).unwrap();
    let parameters = Parameters::upload(context(), [Ok(("cache".to_owned(), zeros))]).unwrap();
    let program = Program::new(context(), &plan).unwrap();
    let mut expected = vec![0.0; 24];
    // The second stream runs ahead until it is full; what it has no room for is dropped.
    for (number, at) in [[0, 2], [1, 3], [2, 4]].into_iter().enumerate() {
        let rows: Vec<f32> = (0..6).map(|i| (10 * (number + 1) + i) as f32).collect();
        let inputs = [
            ("rows", &HostTensor::f32([2, 1, 3], rows.clone()).unwrap()),
            ("at", &HostTensor::i32([2], at.to_vec()).unwrap()),
        ];
        let mut session = Session::with_parameters(&program, &parameters, &inputs).unwrap();
        session.run().unwrap();
        let mut last = vec![0.0; 6];
        for stream in 0..2 {
            let row = &rows[3 * stream..][..3];
            if at[stream] < 4 {
                expected[12 * stream + 3 * at[stream] as usize..][..3].copy_from_slice(row);
                last[3 * stream..][..3].copy_from_slice(row);
            }
        }
        assert_eq!(session.read().unwrap()["last"].to_f32(), last);
        assert_eq!(parameters.download(context(), "cache").unwrap().to_f32(), expected);
    }
}

#[test]
fn arguments_that_do_not_fit_are_refused() {
    let check = |target: TensorDesc, rows: TensorDesc, at: TensorDesc, kind, argument| {
        let error = refused(&[target, rows, at], |graph, v| write_rows(graph, v[0], v[1], v[2]));
        assert_eq!((error.kind(), error.op(), error.argument()), (kind, "index/write_rows", argument));
    };
    let (target, rows, at) = (TensorDesc::f32([2, 9, 4]), TensorDesc::f32([2, 3, 4]), TensorDesc::i32([2]));
    check(target.clone(), TensorDesc::f16([2, 3, 4]), at.clone(), ErrorKind::Dtype, "rows");
    check(target.clone(), rows.clone(), TensorDesc::u32([2]), ErrorKind::Dtype, "at");
    check(target.clone(), rows.clone(), TensorDesc::i32([3]), ErrorKind::Shape, "at");
    check(target.clone(), rows, TensorDesc::i32([2, 9, 4]), ErrorKind::Shape, "at");
    for shape in [&[2, 3, 5][..], &[1, 3, 4], &[2, 4], &[2, 3, 4, 1]] {
        check(target.clone(), TensorDesc::f32(shape), at.clone(), ErrorKind::Shape, "rows");
    }
    check(TensorDesc::f32([]), TensorDesc::f32([]), TensorDesc::i32([]), ErrorKind::Shape, "target");
}
