use foveate::check::{Case, Outcome, conform};
use foveate::gpu::Program;
use foveate::ops::embedding;
use foveate::{Caps, DType, ErrorKind, Graph, HostTensor, Plan, TensorDesc};

use crate::support::{assert_error, context, own_caps, plan, refused, run};

/// Ids that hit the first and last rows of every part, and none.
fn ids() -> HostTensor {
    let hits = (0..32).map(|i| i * 10 % 311);
    HostTensor::i32([2, 20], hits.chain([-1, 300, 299, 128, 127, 0, 1, i32::MAX]).collect()).unwrap()
}

/// `tables` tables of 300 rows, whose parts fill several dispatches.
fn split_case(dtype: DType, tables: usize, width: usize) -> Case {
    Case::new("embedding", format!("{dtype} {tables} x [300, {width}]"), move |problem| {
        let mut pairs = Vec::new();
        for i in 0..tables {
            let table = problem.random(&format!("table {i}"), dtype, [300, width], 1.0)?;
            pairs.push((table, problem.input(&format!("ids {i}"), ids())?));
        }
        Ok(vec![embedding(&mut problem.graph, &pairs)?])
    })
}

#[test]
fn a_table_larger_than_a_binding_gives_the_same_bits() {
    let bound = |bytes| Caps { max_binding_bytes: bytes, ..own_caps() };
    let kernel = |plan: &Plan| plan.report()[0].choice.clone().map(|choice| choice.kernel);
    for (dtype, tables, width, bytes) in [
        (DType::F32, 1, 24, 4096),
        (DType::F32, 1, 24, 16_384),
        (DType::F32, 3, 17, 4352),
        (DType::F32, 4, 4, 2048),
        (DType::F16, 1, 20, 2048),
        (DType::F16, 1, 3, 1024),
    ] {
        let case = split_case(dtype, tables, width);
        let caps = bound(bytes);
        match conform(&case, context(), &caps) {
            Outcome::Passed(_) => {}
            Outcome::Unsupported(_) if dtype == DType::F16 && !caps.f16 => continue,
            outcome => panic!("{case:?}: {outcome:?}"),
        }
        let problem = case.problem().unwrap();
        let split = Plan::new(&problem.graph, &caps).unwrap();
        assert_ne!(kernel(&split), kernel(&plan(&problem.graph)), "{case:?} is not split");
        let found = Program::new(context(), &split).unwrap().run(&problem.inputs()).unwrap();
        for (name, whole) in run(&problem.graph, &problem.inputs()) {
            assert_eq!(found[&name].bytes(), whole.bytes(), "{case:?}: output {name}");
        }
    }
}

#[test]
fn a_split_table_may_be_a_result() {
    let caps = Caps { max_binding_bytes: 4096, ..own_caps() };
    let mut graph = Graph::new();
    let outer = graph.input("outer", TensorDesc::f32([300, 3])).unwrap();
    let picks = graph.input("picks", TensorDesc::u32([300])).unwrap();
    let ids = graph.input("ids", TensorDesc::u32([2])).unwrap();
    let table = embedding(&mut graph, &[(outer, picks)]).unwrap();
    let row = embedding(&mut graph, &[(table, ids)]).unwrap();
    graph.output("row", row).unwrap();
    let elements: Vec<f32> = (0..900).map(|i| i as f32).collect();
    let outputs = Program::new(context(), &Plan::new(&graph, &caps).unwrap()).unwrap().run(&[
        ("outer", &HostTensor::f32([300, 3], elements).unwrap()),
        ("picks", &HostTensor::u32([300], (0..300).rev().collect()).unwrap()),
        ("ids", &HostTensor::u32([2], vec![0, 299]).unwrap()),
    ]);
    assert_eq!(outputs.unwrap()["row"].to_f32(), [897.0, 898.0, 899.0, 0.0, 1.0, 2.0]);
}

#[test]
fn a_table_beyond_128_mib_is_looked_up() {
    const ROWS: usize = 40_000;
    const WIDTH: usize = 1024;
    let element = |row: usize, column: usize| ((row * WIDTH + column) % 16_777_213) as f32;
    let table = (0..ROWS * WIDTH).map(|i| element(i / WIDTH, i % WIDTH)).collect();
    let table = HostTensor::f32([ROWS, WIDTH], table).unwrap();
    let rows = [0, 1, 32_767, 32_768, 39_999, 20_000, 40_000];
    let ids = HostTensor::u32([rows.len()], rows.to_vec()).unwrap();

    let mut graph = Graph::new();
    let pair = (graph.input("table", table.desc()).unwrap(), graph.input("ids", ids.desc()).unwrap());
    let found = embedding(&mut graph, &[pair]).unwrap();
    graph.output("found", found).unwrap();
    let found = run(&graph, &[("table", &table), ("ids", &ids)]).remove("found").unwrap().to_f32();
    for (row, found) in rows.iter().map(|&row| row as usize).zip(found.chunks(WIDTH)) {
        let expected: Vec<f32> =
            (0..WIDTH).map(|column| if row < ROWS { element(row, column) } else { 0.0 }).collect();
        assert_eq!(found, expected, "row {row}");
    }
}

#[test]
fn pairs_must_fit_together() {
    let check = |descs: &[TensorDesc], kind, place| {
        let error = refused(descs, |graph, v| {
            let pairs: Vec<_> = v.chunks(2).map(|pair| (pair[0], pair[1])).collect();
            embedding(graph, &pairs)
        });
        assert_error(&error, kind, place);
    };
    let (table, ids) = (TensorDesc::f32([9, 4]), TensorDesc::i32([2, 3]));
    check(&[], ErrorKind::Argument, "embedding: pairs");
    check(&[TensorDesc::f32([9]), ids.clone()], ErrorKind::Shape, "embedding: table 0");
    check(&[TensorDesc::f32([0, 4]), ids.clone()], ErrorKind::Shape, "embedding: table 0");
    check(&[ids.clone(), ids.clone()], ErrorKind::Dtype, "embedding: table 0");
    check(&[table.clone(), TensorDesc::f32([2, 3])], ErrorKind::Dtype, "embedding: ids 0");
    check(
        &[table.clone(), ids.clone(), TensorDesc::f16([9, 4]), ids.clone()],
        ErrorKind::Dtype,
        "embedding: table 1",
    );
    check(
        &[table.clone(), ids.clone(), TensorDesc::f32([2, 5]), ids.clone()],
        ErrorKind::Shape,
        "embedding: table 1",
    );
    check(
        &[table.clone(), ids.clone(), table.clone(), TensorDesc::u32([3, 2])],
        ErrorKind::Shape,
        "embedding: ids 1",
    );
    check(&[table, TensorDesc::u32([1; 8])], ErrorKind::Shape, "embedding: result");
}

#[test]
fn dispatches_take_as_many_parts_as_the_device_binds() {
    let mut graph = Graph::new();
    let pairs: Vec<_> = (0..4)
        .map(|i| {
            let table = graph.input(&format!("table {i}"), TensorDesc::f32([9, 4])).unwrap();
            (table, graph.input(&format!("ids {i}"), TensorDesc::u32([2])).unwrap())
        })
        .collect();
    let sum = embedding(&mut graph, &pairs).unwrap();
    graph.output("sum", sum).unwrap();
    let dispatches = |max_storage_buffers| {
        let plan = Plan::new(&graph, &Caps { max_storage_buffers, ..Caps::webgpu_default() });
        plan.map(|plan| plan.commands().len())
    };
    assert_eq!([3, 5, 8, 100].map(|buffers| dispatches(buffers).unwrap()), [4, 2, 2, 2]);
    assert_eq!(dispatches(2).unwrap_err().kind(), ErrorKind::Limit);
}
