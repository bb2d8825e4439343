//! Benchmarks, and conformance cases: widths around the vector and workgroup sizes, rows of equal elements, of one that outweighs all others,
//! and rows with hidden elements.

use super::{Entmax, Form, backward};
use crate::check::{Bench, Case, DIVISION_ULPS, SQRT_ULPS, Work};
use crate::tensor::{DType, HostTensor, Shape};

/// Of [`sparsemax`](super::sparsemax()).
pub(crate) mod sparse {
    use super::*;

    pub(crate) fn cases() -> Vec<Case> {
        cases_of(Form::Sparsemax)
    }

    pub(crate) fn benches() -> Vec<Bench> {
        benches_of(Form::Sparsemax)
    }
}

/// Of [`entmax15`](super::entmax15()).
pub(crate) mod one_and_a_half {
    use super::*;

    pub(crate) fn cases() -> Vec<Case> {
        cases_of(Form::Entmax15)
    }

    pub(crate) fn benches() -> Vec<Bench> {
        benches_of(Form::Entmax15)
    }
}

fn cases_of(form: Form) -> Vec<Case> {
    let shapes: [(&'static [usize], f32); 9] = [
        (&[1], 1.0),
        (&[3, 0], 1.0),
        (&[0, 3], 1.0),
        (&[5, 2], 1.0),
        (&[2, 63], 0.3),
        (&[2, 65], 2.0),
        (&[3, 4, 97], 0.01),
        (&[2, 1000], 1.0),
        (&[3, 4097], 10.0),
    ];
    let mut cases = Vec::new();
    for dtype in [DType::F32, DType::F16] {
        for (shape, amplitude) in shapes {
            cases.push(of_random(form, dtype, shape, amplitude));
        }
        let lowest = if dtype == DType::F16 { -65_504.0 } else { f32::MIN };
        let rows: [(&str, Vec<[f32; 4]>); 3] = [
            ("rows of one result", vec![[1e4, -1e4, 9998.0, 0.0], [1.0, 3.5, -1.0, -4.0]]),
            ("equal elements", vec![[-1e4; 4], [7.0; 4], [lowest; 4]]),
            ("hidden elements", vec![[lowest, 1.0, lowest, 1.25], [0.5, lowest, lowest, lowest]]),
        ];
        for (what, rows) in rows {
            cases.push(
                Case::new(form.name(), format!("{dtype} {what}"), move |problem| {
                    let x = HostTensor::from_f32(dtype, [rows.len(), 4], rows.as_flattened())?;
                    let x = problem.input("x", x)?;
                    Ok(vec![problem.graph.push_builtin_one(Entmax(form), &[x])?])
                })
                .kinked(),
            );
        }
    }
    // So wide that many elements lie close to the threshold.
    cases.push(of_random(form, DType::F32, &[60_001], 10.0).kinked());
    cases.push(of_random(form, DType::F16, &[20_004], 1.0).kinked());
    let ulps = match form {
        Form::Sparsemax => DIVISION_ULPS,
        Form::Entmax15 => DIVISION_ULPS + SQRT_ULPS,
    };
    cases.extend([DType::F32, DType::F16].map(|dtype| of_given_result(form, dtype)));
    cases.into_iter().map(|case| case.builtin_ulps(ulps)).collect()
}

fn of_random(form: Form, dtype: DType, shape: &'static [usize], amplitude: f32) -> Case {
    Case::new(form.name(), format!("{dtype} {} of {amplitude}", Shape::from(shape)), move |problem| {
        let x = problem.random("x", dtype, shape, amplitude)?;
        Ok(vec![problem.graph.push_builtin_one(Entmax(form), &[x])?])
    })
}

/// The backward pass alone, of a y that need not be a result and holds zeros.
fn of_given_result(form: Form, dtype: DType) -> Case {
    Case::new(form.name(), format!("gradients: {dtype} of a given result"), move |problem| {
        let values: Vec<f32> =
            (0..3 * 97).map(|i: i32| ((i * 37 % 101) as f32 / 50.0 - 1.0).max(0.0)).collect();
        let y = problem.input("y", HostTensor::from_f32(dtype, [3, 97], &values)?)?;
        let upstream = problem.random("upstream", dtype, [3, 97], 2.0)?;
        Ok(vec![backward::append(&mut problem.graph, form, y, upstream)?])
    })
    .kinked()
}

/// One read of every element of each operand and one write.
fn benches_of(form: Form) -> Vec<Bench> {
    let (rows, width) = (4096, 1024);
    let label = format!("{rows} x {width} f32");
    let forward = Bench::new(form.name(), label.clone(), Work::Bytes(rows * width * 8), move |problem| {
        let x = problem.random("x", DType::F32, [rows as usize, width as usize], 1.0)?;
        Ok(vec![problem.graph.push_builtin_one(Entmax(form), &[x])?])
    });
    let label = format!("backward {label}");
    let backward = Bench::new(form.name(), label, Work::Bytes(rows * width * 12), move |problem| {
        let [y, upstream] = ["y", "upstream"]
            .map(|name| problem.random(name, DType::F32, [rows as usize, width as usize], 1.0));
        Ok(vec![backward::append(&mut problem.graph, form, y?, upstream?)?])
    });
    vec![forward, backward]
}
