use foveate::ops::{entmax15, multiply, reshape, sparsemax, sum};
use foveate::{DType, ErrorKind, Graph, HostTensor, TensorDesc, cpu};

use crate::support::{assert_error, refused, run};

#[test]
fn a_scalar_has_no_axis_and_integers_are_no_scores() {
    let error = refused(&[TensorDesc::f32([])], |graph, v| sparsemax(graph, v[0]));
    assert_error(&error, ErrorKind::Shape, "sparsemax: x");
    let error = refused(&[TensorDesc::i32([2])], |graph, v| sparsemax(graph, v[0]));
    assert_error(&error, ErrorKind::Dtype, "sparsemax: x");
}

#[test]
fn known_rows() {
    let mut graph = Graph::new();
    let x = graph.input("x", TensorDesc::f32([3, 2])).unwrap();
    let y = sparsemax(&mut graph, x).unwrap();
    graph.output("y", y).unwrap();
    let x = HostTensor::f32([3, 2], vec![5.0, 5.0, 1.0, -2.0, 0.5, 0.0]).unwrap();
    let y = run(&graph, &[("x", &x)])["y"].to_f32();
    let expected = [0.5, 0.5, 1.0, 0.0, 0.75, 0.25];
    assert!(y.iter().zip(expected).all(|(y, expected)| (y - expected).abs() < 1e-6), "{y:?}");
}

/// Rows with a number that is none are told, on the device as on the references, and so are their gradients; minus infinity hides an element.
#[test]
fn rows_without_a_result_are_nan() {
    const HIDDEN: f32 = f32::NEG_INFINITY;
    let mut rows = vec![vec![0.5; 72]; 6];
    rows[1][3] = f32::NAN;
    rows[2][70] = f32::INFINITY;
    rows[3][40] = HIDDEN;
    rows[4].fill(HIDDEN);
    rows[5][..71].fill(HIDDEN);
    let is_broken = |row| [1, 2, 4].contains(&row);
    for (width, dtype) in [(72, DType::F32), (71, DType::F32), (72, DType::F16)] {
        for form in [sparsemax, entmax15] {
            let mut graph = Graph::new();
            let [x, weights] =
                ["x", "weights"].map(|name| graph.input(name, TensorDesc::new(dtype, [6, width])).unwrap());
            let y = form(&mut graph, x).unwrap();
            let weighted = multiply(&mut graph, y, weights).unwrap();
            let loss = sum(&mut graph, weighted, &[0, 1]).unwrap();
            let loss = reshape(&mut graph, loss, [1]).unwrap();
            let dx = graph.gradients(loss, &[x]).unwrap()[0];
            graph.output("y", y).unwrap();
            graph.output("dx", dx).unwrap();
            let tensor = |numbers: &[f32]| HostTensor::from_f32(dtype, [6, width], numbers).unwrap();
            let x: Vec<f32> = rows.iter().flat_map(|row| row[72 - width..].to_vec()).collect();
            let weights: Vec<f32> = (0..6 * width).map(|at| (at % 7) as f32).collect();
            let (x, weights) = (tensor(&x), tensor(&weights));
            let inputs = [("x", &x), ("weights", &weights)];
            for (device, outputs) in
                [("device", run(&graph, &inputs)), ("references", cpu::run(&graph, &inputs).unwrap())]
            {
                let [y, dx] = ["y", "dx"].map(|output| outputs[output].to_f32());
                for (row, (y, dx)) in y.chunks(width).zip(dx.chunks(width)).enumerate() {
                    let what = format!("{device}, {dtype} {width}, row {row}: {y:?} {dx:?}");
                    assert!(y.iter().chain(dx).all(|x| x.is_nan() == is_broken(row)), "{what}");
                }
                assert_eq!(y[3 * width + 40 - (72 - width)], 0.0, "{device}, {dtype} {width}");
                assert_eq!(y[6 * width - 1], 1.0, "{device}, {dtype} {width}");
            }
        }
    }
}
