//! Benchmarks, and conformance cases: widths around the vector and workgroup sizes, equal scores, scores far apart, rows longer than a lane's loops may be.

use super::backward;
use super::{Form, Softmax};
use crate::check::{Bench, Case, Work, exp_ulps};
use crate::tensor::{DType, HostTensor, Shape};

/// Of [`softmax`](super::softmax()).
pub(crate) mod plain {
    use super::*;

    pub(crate) fn cases() -> Vec<Case> {
        cases_of(Form::Plain)
    }

    pub(crate) fn benches() -> Vec<Bench> {
        benches_of(Form::Plain)
    }
}

/// Of [`log_softmax`](super::log_softmax()).
pub(crate) mod logarithm {
    use super::*;

    pub(crate) fn cases() -> Vec<Case> {
        cases_of(Form::Logarithm)
    }

    pub(crate) fn benches() -> Vec<Bench> {
        benches_of(Form::Logarithm)
    }
}

fn cases_of(form: Form) -> Vec<Case> {
    let shapes: [&'static [usize]; 11] = [
        &[1],
        &[3, 0],
        &[0, 3],
        &[5, 2],
        &[2, 63],
        &[2, 64],
        &[2, 65],
        &[3, 4, 97],
        &[2, 1000],
        &[3, 4097],
        &[70_000, 1],
    ];
    let mut cases = Vec::new();
    for dtype in [DType::F32, DType::F16] {
        for shape in shapes {
            cases.push(of_random(form, dtype, shape));
        }
        let lowest = if dtype == DType::F16 { -65_504.0 } else { f32::MIN };
        let rows: [(&str, Vec<[f32; 4]>); 3] = [
            ("scores of +-10,000", vec![[1e4, -1e4, 1e4, 0.0], [1e4, 9999.0, -1e4, 1.0]]),
            ("equal scores", vec![[-1e4; 4], [7.0; 4], [lowest; 4], [-lowest; 4]]),
            ("rows masked by the lowest number there is", vec![[lowest, 1.0, lowest, 2.0], [0.5; 4]]),
        ];
        for (what, rows) in rows {
            cases.push(Case::new(form.name(), format!("{dtype} {what}"), move |problem| {
                let x = HostTensor::from_f32(dtype, [rows.len(), 4], rows.as_flattened())?;
                let x = problem.input("x", x)?;
                Ok(vec![problem.graph.push_builtin_one(Softmax(form), &[x])?])
            }));
        }
    }
    cases.push(of_random(form, DType::F32, &[600_001]));
    cases.push(of_random(form, DType::F16, &[600_004]));
    // Scores here differ by at most 20 where they weigh anything; softmax has exponentials above and below its fraction bar. WGSL's
    // logarithm may be off by 2^-21, 4 units.
    let ulps = match form {
        Form::Plain => 2.0 * exp_ulps(20.0),
        Form::Logarithm => exp_ulps(20.0) + 4.0,
    };
    let mut cases: Vec<Case> = cases.into_iter().map(|case| case.builtin_ulps(ulps)).collect();
    cases.extend([DType::F32, DType::F16].map(|dtype| of_given_result(form, dtype, &[3, 4, 97])));
    cases.push(of_given_result(form, DType::F32, &[600_001]));
    cases
}

fn of_random(form: Form, dtype: DType, shape: &'static [usize]) -> Case {
    Case::new(form.name(), format!("{dtype} {}", Shape::from(shape)), move |problem| {
        let x = problem.random("x", dtype, shape, 10.0)?;
        Ok(vec![problem.graph.push_builtin_one(Softmax(form), &[x])?])
    })
}

/// The backward pass alone, of a y that need not be a result: allowed nothing for what the forward pass loses.
fn of_given_result(form: Form, dtype: DType, shape: &'static [usize]) -> Case {
    let label = format!("gradients: {dtype} {} of a given result", Shape::from(shape));
    let case = Case::new(form.name(), label, move |problem| {
        let y = problem.random("y", dtype, shape, 1.0)?;
        let upstream = problem.random("upstream", dtype, shape, 2.0)?;
        Ok(vec![backward::append(&mut problem.graph, form, y, upstream)?])
    });
    match form {
        Form::Plain => case,
        Form::Logarithm => case.builtin_ulps(exp_ulps(1.0)),
    }
}

/// One read of every element of each operand and one write.
fn benches_of(form: Form) -> Vec<Bench> {
    let mut benches = Vec::new();
    for [rows, width] in [[4096, 1024], [64, 65_536]] {
        let (label, elements) = (format!("{rows} x {width} f32"), (rows * width) as u64);
        benches.push(Bench::new(form.name(), label.clone(), Work::Bytes(elements * 8), move |problem| {
            let x = problem.random("x", DType::F32, [rows, width], 1.0)?;
            Ok(vec![problem.graph.push_builtin_one(Softmax(form), &[x])?])
        }));
        let label = format!("backward {label}");
        benches.push(Bench::new(form.name(), label, Work::Bytes(elements * 12), move |problem| {
            let y = problem.random("y", DType::F32, [rows, width], 1.0)?;
            let upstream = problem.random("upstream", DType::F32, [rows, width], 1.0)?;
            Ok(vec![backward::append(&mut problem.graph, form, y, upstream)?])
        }));
    }
    benches
}
