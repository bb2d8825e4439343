//! Conformance cases: every type and order, ties, rows of one element and of many chunks, rows that are empty.

use super::{NAME, Order, sort};
use crate::Result;
use crate::Shape;
use crate::check::{Bench, Case, Problem, Work};
use crate::graph::Value;
use crate::tensor::{DType, HostTensor};

pub(in crate::ops::index) const TYPES: [(DType, f32); 4] =
    [(DType::F32, 1.0), (DType::F16, 100.0), (DType::I32, 2e9), (DType::U32, 4e9)];

/// Every fifth element equals another one; floats have both zeros.
pub(in crate::ops::index) fn with_ties(
    problem: &mut Problem,
    dtype: DType,
    shape: &[usize],
    amplitude: f32,
) -> Result<Value> {
    let count: usize = shape.iter().product();
    let scattered = |i: usize| ((i * 7919 + i / 3 * 31) % 1009) as f32 / 1009.0 * 2.0 - 1.0;
    let values: Vec<f32> = (0..count)
        .map(|i| match i % 10 {
            0 => 0.0,
            5 => -0.0,
            7 => amplitude * scattered(i / 100),
            _ => amplitude * scattered(i),
        })
        .collect();
    problem.input("x", HostTensor::from_f32(dtype, shape, &values)?)
}

pub(crate) fn cases() -> Vec<Case> {
    let shapes: [&'static [usize]; 11] =
        [&[0], &[1], &[2], &[3, 0], &[0, 3], &[17], &[1000], &[5, 1, 7], &[300, 3], &[7, 97], &[2, 2, 400]];
    let mut cases = Vec::new();
    for (dtype, amplitude) in TYPES {
        for order in [Order::Ascending, Order::Descending] {
            for shape in shapes {
                let label = format!("{dtype} {}, {order:?}", Shape::from(shape));
                // Where elements are equal, a step aside changes their order.
                let case = Case::new(NAME, label, move |problem| {
                    let x = with_ties(problem, dtype, shape, amplitude)?;
                    let sorted = sort(&mut problem.graph, x, order)?;
                    Ok(vec![sorted.values, sorted.positions])
                });
                cases.push(case.kinked());
            }
            if dtype.is_float() {
                cases.push(without_ties(dtype, order));
            }
        }
    }
    // More items than a driver's loops may have turns, in many short rows, in two and in one.
    for shape in [&[30_001, 5][..], &[2, 70_001], &[150_001]] {
        cases.push(Case::new(NAME, format!("u32 {}", Shape::from(shape)), move |problem| {
            let x = problem.random("x", DType::U32, shape, 4e9)?;
            Ok(vec![sort(&mut problem.graph, x, Order::Ascending)?.positions])
        }));
    }
    cases
}

/// Elements far enough from each other for their order to stand small steps.
fn without_ties(dtype: DType, order: Order) -> Case {
    Case::new(NAME, format!("{dtype} [40, 50] without ties, {order:?}"), move |problem| {
        let values: Vec<f32> = (0..2000).map(|i| (i * 787 % 2003) as f32 / 20.0 - 50.0).collect();
        let x = problem.input("x", HostTensor::from_f32(dtype, [40, 50], &values)?)?;
        let sorted = sort(&mut problem.graph, x, order)?;
        Ok(vec![sorted.values, sorted.positions])
    })
}

/// One read of every key and one write of its position.
pub(crate) fn benches() -> Vec<Bench> {
    let problems: [(DType, &'static [usize]); 3] =
        [(DType::U32, &[1_000_000]), (DType::F32, &[1_000_000]), (DType::F32, &[1000, 1000])];
    let benches = problems.into_iter().map(|(dtype, shape)| {
        let work = Work::Bytes(8 * shape.iter().product::<usize>() as u64);
        Bench::new(NAME, format!("positions of {} {dtype}", Shape::from(shape)), work, move |problem| {
            let x = problem.random("x", dtype, shape, 4e9)?;
            Ok(vec![super::argsort(&mut problem.graph, x, Order::Ascending)?])
        })
    });
    benches.collect()
}
