//! Conformance cases: every storage of the operands, extents around tile edges, repeated operands, empty axes.

use super::{Heads, Matmul, NAME, matmul};
use crate::Result;
use crate::check::{Bench, Case, Problem, Work};
use crate::graph::Value;
use crate::kernel::{Caps, MatmulKernel};
use crate::tensor::{DType, HostTensor};

fn stored(transposed: bool, lines: usize, width: usize) -> [usize; 2] {
    if transposed { [width, lines] } else { [lines, width] }
}

fn with_heads(heads: Heads, [batch, head]: [usize; 2], [lines, width]: [usize; 2]) -> [usize; 4] {
    match heads {
        Heads::Outer => [batch, head, lines, width],
        Heads::Inner => [batch, lines, head, width],
    }
}

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = plain_cases();
    cases.extend(head_cases());
    cases.extend(long_line_cases());
    for (label, a_shape, b_shape) in [
        ("b repeats", [3, 17, 8].as_slice(), [8, 12].as_slice()),
        ("a repeats", &[17, 8], &[3, 8, 12]),
        ("five axes", &[2, 1, 3, 5, 6], &[2, 1, 3, 6, 7]),
        ("one batch axis", &[70, 3, 5], &[70, 5, 2]),
        ("few rows of many matrices", &[3, 4, 2, 68], &[3, 4, 68, 132]),
    ] {
        cases.push(Case::new(NAME, label, move |problem| {
            let a = problem.random("a", DType::F32, a_shape, 1.0)?;
            let b = problem.random("b", DType::F32, b_shape, 1.0)?;
            Ok(vec![matmul(&mut problem.graph, a, b, &Matmul::new())?])
        }));
    }
    cases.extend(long_inner_cases());
    cases
}

/// One matrix by another, each operand transposed or not.
fn plain_cases() -> Vec<Case> {
    let extents = [
        [1, 1, 1],
        [2, 63, 5],
        [5, 7, 3],
        [64, 64, 64],
        [65, 97, 33],
        [130, 64, 100],
        [1, 1000, 300],
        [1000, 4, 8],
        [1, 100, 770],
        [2, 37, 100],
        [3, 132, 129],
        [8, 68, 260],
        [0, 4, 4],
        [4, 0, 4],
        [4, 4, 0],
    ];
    let mut cases = Vec::new();
    for dtype in [DType::F32, DType::F16] {
        for [rows, columns, inner] in extents {
            for (ta, tb) in [(false, false), (false, true), (true, false), (true, true)] {
                let turned = |transposed| if transposed { "^T" } else { "" };
                let label =
                    format!("{dtype} a{} b{}, {rows} x {columns} over {inner}", turned(ta), turned(tb));
                cases.push(Case::new(NAME, label, move |problem| {
                    let a = problem.random("a", dtype, stored(ta, rows, inner), 1.0)?;
                    let b = problem.random("b", dtype, stored(tb, inner, columns), 1.0)?;
                    let spec = Matmul { transpose_a: ta, transpose_b: tb, ..Matmul::new() };
                    Ok(vec![matmul(&mut problem.graph, a, b, &spec)?])
                }));
            }
        }
    }
    cases
}

/// Batches of heads, kept outside or inside the rows.
fn head_cases() -> Vec<Case> {
    use Heads::{Inner, Outer};
    let mut cases = Vec::new();
    for dtype in [DType::F32, DType::F16] {
        for [a_heads, b_heads, result] in
            [[Outer, Outer, Outer], [Inner, Inner, Outer], [Outer, Inner, Inner], [Inner, Outer, Inner]]
        {
            for ([rows, columns, inner], tb) in [([33, 20, 16], true), ([6, 35, 9], false), ([6, 7, 5], true)]
            {
                let label = format!(
                    "{dtype} heads {a_heads:?}, {b_heads:?}, {result:?}, {rows} x {columns} over {inner}, b transposed: {tb}"
                );
                cases.push(Case::new(NAME, label, move |problem| {
                    let counts = [2, 3];
                    let a = problem.random("a", dtype, with_heads(a_heads, counts, [rows, inner]), 1.0)?;
                    let b_shape = with_heads(b_heads, counts, stored(tb, inner, columns));
                    let b = problem.random("b", dtype, b_shape, 1.0)?;
                    let spec = Matmul { transpose_b: tb, ..Matmul::new() }.heads(a_heads, b_heads, result);
                    Ok(vec![matmul(&mut problem.graph, a, b, &spec)?])
                }));
            }
        }
    }
    cases
}

/// Lines of `b` longer than a page of memory, and rows enough to pack it for.
fn long_line_cases() -> Vec<Case> {
    use Heads::{Inner, Outer};
    [
        (
            "f32 lines of 1040, four heads inside",
            DType::F32,
            [2, 4, 230, 5].as_slice(),
            [2, 5, 4, 260].as_slice(),
            Inner,
        ),
        ("f32 lines of 1028", DType::F32, &[230, 37], &[37, 1028], Outer),
        ("f32 lines of 1028, b repeats", DType::F32, &[2, 230, 9], &[9, 1028], Outer),
        ("f16 lines of 2052", DType::F16, &[230, 37], &[37, 2052], Outer),
    ]
    .into_iter()
    .map(|(label, dtype, a_shape, b_shape, b_heads)| {
        Case::new(NAME, label, move |problem| {
            let a = problem.random("a", dtype, a_shape, 1.0)?;
            let b = problem.random("b", dtype, b_shape, 1.0)?;
            Ok(vec![matmul(&mut problem.graph, a, b, &Matmul::new().heads(Outer, b_heads, Outer))?])
        })
    })
    // The gradient of `a` adds up the products of a line: 1.11 times the budget over 1,028 of them.
    .map(|case| if case.label() == "f32 lines of 1028" { case.gradients_sum_far() } else { case })
    .collect()
}

/// Inner axes over which loops take more turns than some drivers let them: 65,535 on Mesa 22.3's llvmpipe, of eight elements each. All sums
/// are exact, so that nothing may differ whatever order they are added in.
fn long_inner_cases() -> Vec<Case> {
    [
        (DType::F32, false, [3, 5, 600_001], [3, 2]),
        (DType::F32, true, [4, 8, 1_100_000], [3, 2]),
        (DType::F16, false, [16, 16, 600_000], [701, 2]),
        (DType::F16, false, [17, 24, 600_008], [701, 2]),
        (DType::F16, true, [24, 16, 600_016], [701, 2]),
    ]
    .into_iter()
    .map(|(dtype, turned, [rows, columns, inner], every)| {
        let label = format!("{dtype} {rows} x {columns} over {inner}, both turned: {turned}");
        let ones =
            move |problem: &mut Problem, name: &str, shape: [usize; 2], every: usize| -> Result<Value> {
                let elements: Vec<f32> =
                    (0..shape[0] * shape[1]).map(|i| f32::from(i % every == 0)).collect();
                problem.input(name, HostTensor::from_f32(dtype, shape, &elements)?)
            };
        Case::new(NAME, label, move |problem| {
            let a = ones(problem, "a", stored(turned, rows, inner), every[0])?;
            let b = ones(problem, "b", stored(turned, inner, columns), every[1])?;
            let spec = Matmul { transpose_a: turned, transpose_b: turned, ..Matmul::new() };
            Ok(vec![matmul(&mut problem.graph, a, b, &spec)?])
        })
    })
    .collect()
}

pub(crate) fn benches() -> Vec<Bench> {
    let bench = |label, dtype, rows: usize, spec: Matmul| {
        let flops = 2 * (rows * 1024 * 1024) as u64;
        Bench::new(NAME, label, Work::Flops(flops), move |problem| {
            let a = problem.random("a", dtype, [rows, 1024], 1.0)?;
            let b = problem.random("b", dtype, [1024, 1024], 1.0)?;
            Ok(vec![matmul(&mut problem.graph, a, b, &spec)?])
        })
    };
    let square = |label| bench(label, DType::F32, 1024, Matmul::new());
    let classic = |caps: &mut Caps| caps.tuning.matmul = MatmulKernel::Classic;
    vec![
        square("1024 f32"),
        square("1024 f32, unchecked").unchecked(),
        square("1024 f32, classic tile, unchecked").caps(classic).unchecked(),
        square("1024 f32, classic tile").caps(classic),
        bench("1024 f32, b transposed", DType::F32, 1024, Matmul::new().transpose_b()),
        bench("1024 f16", DType::F16, 1024, Matmul::new()).f16(),
        bench("1 x 1024 x 1024 f32", DType::F32, 1, Matmul::new()),
        of_few_rows(1, 768, 3072),
        of_few_rows(8, 768, 3072),
        of_few_rows(1, 3072, 768),
        of_few_rows(8, 3072, 768),
        of_few_rows(1, 768, 32_768),
        of_few_rows(8, 768, 32_768),
    ]
}

/// A layer whose weight is stored `[in, out]`, as GPT-2's are, on few rows. Bytes are one read of every weight.
fn of_few_rows(rows: usize, inner: usize, columns: usize) -> Bench {
    let label = format!("{rows} x {inner} x {columns} f32, few rows");
    Bench::new(NAME, label, Work::Bytes((4 * inner * columns) as u64), move |problem| {
        let a = problem.random("a", DType::F32, [rows, inner], 1.0)?;
        let b = problem.random("b", DType::F32, [inner, columns], 1.0)?;
        Ok(vec![matmul(&mut problem.graph, a, b, &Matmul::new())?])
    })
}
