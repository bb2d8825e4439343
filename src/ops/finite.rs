//! Positions of NaN and infinities, for the checks of a plan ([`crate::plan::Watch`]).

use super::contract::{Contract, to_u32};
use crate::graph::{Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Dispatch, Kernel, Lowered, Operand, params, wgsl};
use crate::tensor::{Array, DType, Real, TensorDesc};
use crate::{Error, ErrorKind, Result};

const NAME: &str = "finite";

/// Elements that [`finite`] has a row for.
pub const FINITE_PART: usize = 1 << 14;

/// Numbers of a row.
const COLUMNS: usize = 3;

/// Where a row says that there is none.
const NONE: u32 = u32::MAX;

params! {
    struct FiniteParams {
        elements: u32,
        before: u32,
        first_part: u32,
    }
}

#[derive(Clone, Copy, Debug)]
struct Finite {
    dtype: DType,
}

/// The positions of the first NaN and the first infinity in each part of a float `x`: u32 `[parts, 3]`, a row for every [`FINITE_PART`] elements of
/// `x` in row-major order, the last of which may be shorter.
///
/// A row holds the place of the first NaN, the place of the first infinity of either sign, both counted from the start of `x` and
/// `u32::MAX` where there is none, and the bits, in the type of `x`, of the largest magnitude among the numbers that are finite. The test reads
/// the bits of each number, as devices may assume in arithmetic that there is no NaN. No gradient passes. Fails when `x` is not a float.
pub fn finite(graph: &mut Graph, x: Value) -> Result<Value> {
    let dtype = graph.desc(x)?.dtype;
    graph.push_builtin_one(Finite { dtype }, &[x])
}

/// Rows of [`finite`] for as many elements.
pub(crate) fn parts(elements: usize) -> usize {
    elements.div_ceil(FINITE_PART)
}

/// Writes the rows of `x`, which is the operand `from`, to `to` from row `first` on. Of a value that is larger than a binding may be,
/// `from` is bound in parts.
pub(crate) fn dispatches(
    x: &TensorDesc,
    from: usize,
    (to, first): (Operand, u32),
    caps: &Caps,
) -> Result<Vec<Dispatch>> {
    if x.elements() == 0 {
        return Ok(Vec::new());
    }
    // Its bits are read as words, which every device has; but where there is no f16, nothing stores any.
    if x.dtype == DType::F16 && !caps.f16 {
        return Err(Error::new(ErrorKind::Unsupported, NAME, "x")
            .expecting("a device with f16 (wgpu's SHADER_F16)")
            .but_found(x));
    }
    let all = to_u32(NAME, "elements", x.elements())? as usize;
    let size = x.dtype.size() as u64;
    let most = usize::try_from(caps.max_binding_bytes / size).unwrap_or(usize::MAX);
    if x.buffer_bytes() <= caps.max_binding_bytes {
        return Ok(vec![dispatch(x.dtype, Operand::Input(from), (0, all), (to, first), caps)]);
    }
    // Parts begin where rows do, and so at an offset that every device takes.
    let step = (most / FINITE_PART).max(1) * FINITE_PART;
    let starts = (0..all).step_by(step);
    let part = |start: usize| {
        let offset = start as u64 * size;
        let (elements, bytes) = (step.min(all - start), (step as u64 * size).min(x.buffer_bytes() - offset));
        let from = Operand::InputPart { input: from, offset, bytes };
        dispatch(x.dtype, from, (start, elements), (to, first + parts(start) as u32), caps)
    };
    Ok(starts.map(part).collect())
}

/// Writes the rows of `elements` elements behind `before` others.
fn dispatch(
    dtype: DType,
    from: Operand,
    (before, elements): (usize, usize),
    (to, first_part): (Operand, u32),
    caps: &Caps,
) -> Dispatch {
    let (per_word, magnitude, infinity): (u32, u32, u32) = match dtype {
        DType::F16 => (2, 0x7fff, 0x7c00),
        _ => (1, 0x7fff_ffff, 0x7f80_0000),
    };
    let (part, lanes) = (FINITE_PART as u32, caps.tuning.row_lanes);
    let words = u64::from(part.div_ceil(per_word * lanes));
    Kernel::new(NAME, [wgsl!("finite.wgsl")])
        .constant("PART", part)
        .constant("PER_WORD", per_word)
        .constant("MAGNITUDE", magnitude)
        .constant("INFINITY", infinity)
        .read_elements("x", from, DType::U32)
        .write_elements("result", to, DType::U32)
        .params(FiniteParams { elements: elements as u32, before: before as u32, first_part })
        .turns(words * u64::from(per_word + 2) + u64::from(lanes))
        .per_workgroup(parts(elements) as u32, lanes)
}

/// Place of the first NaN, of the first infinity, and the bits of the largest finite magnitude.
fn row<R: Real>(dtype: DType, before: usize, elements: &[R]) -> [i64; COLUMNS] {
    let mut row = [NONE.into(), NONE.into(), 0];
    for (place, x) in elements.iter().enumerate().rev() {
        let x = x.get();
        let place = (before + place) as i64;
        if x.is_nan() {
            row[0] = place;
        } else if x.is_infinite() {
            row[1] = place;
        } else {
            let bits = match dtype {
                DType::F16 => half::f16::from_f64(x.abs()).to_bits().into(),
                _ => (x.abs() as f32).to_bits(),
            };
            row[2] = row[2].max(bits.into());
        }
    }
    row
}

impl Op for Finite {
    fn name(&self) -> &'static str {
        NAME
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        let contract = Contract::new(NAME);
        contract.count(inputs, &["x"])?;
        contract.float("x", &inputs[0])?;
        Ok(vec![TensorDesc::u32([parts(inputs[0].elements()), COLUMNS])])
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        let parts = inputs[0].reals().chunks(FINITE_PART).enumerate();
        let rows: Vec<i64> =
            parts.flat_map(|(i, elements)| row(self.dtype, i * FINITE_PART, elements)).collect();
        vec![Array::index([rows.len() / COLUMNS, COLUMNS], rows)]
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        let dispatches = dispatches(&step.inputs[0], 0, (Operand::Output(0), 0), caps)?;
        let kernel = format!("{FINITE_PART} elements a workgroup");
        Ok(Lowered::streaming(kernel, "by their bits", dispatches, Vec::new()))
    }
}

/// Nothing, one and several rows; half words; each kind of number first, last and among others of its kind.
#[cfg(feature = "check")]
pub(crate) fn cases() -> Vec<crate::check::Case> {
    use crate::HostTensor;
    use crate::check::Case;

    let mut cases = Vec::new();
    for dtype in [DType::F32, DType::F16] {
        for count in [0, 1, 2, 63, 1001, FINITE_PART - 1, FINITE_PART, 3 * FINITE_PART + 5] {
            cases.push(Case::new(NAME, format!("{dtype} of {count} finite"), move |problem| {
                let x = problem.random("x", dtype, [count], 3.0)?;
                Ok(vec![finite(&mut problem.graph, x)?])
            }));
        }
        let count = 2 * FINITE_PART + 77;
        let ends = [0, 1, FINITE_PART - 1, FINITE_PART, count - 1];
        for (label, broken) in [("NaN", f32::NAN), ("inf", f32::INFINITY), ("-inf", f32::NEG_INFINITY)] {
            for at in ends {
                cases.push(Case::new(NAME, format!("{dtype} with {label} at {at}"), move |problem| {
                    let mut numbers: Vec<f32> = (0..count).map(|i| (i % 91) as f32 - 60.0).collect();
                    numbers[at] = broken;
                    numbers[at.max(700)] = broken;
                    let x = problem.input("x", HostTensor::from_f32(dtype, [count], &numbers)?)?;
                    Ok(vec![finite(&mut problem.graph, x)?])
                }));
            }
        }
        cases.push(Case::new(NAME, format!("{dtype} of everything"), move |problem| {
            let numbers: Vec<f32> = (0..1000)
                .map(|i| match i % 7 {
                    0 => 65_504.0,
                    3 if i > 50 => f32::NAN,
                    5 if i > 40 => f32::NEG_INFINITY,
                    6 => 1e-7,
                    _ => -0.0,
                })
                .collect();
            let x = problem.input("x", HostTensor::from_f32(dtype, [10, 100], &numbers)?)?;
            Ok(vec![finite(&mut problem.graph, x)?])
        }));
    }
    cases
}

/// One read of every element.
#[cfg(feature = "check")]
pub(crate) fn benches() -> Vec<crate::check::Bench> {
    use crate::check::{Bench, Work};

    let bench = |label, dtype: DType| {
        let bytes = (dtype.size() as u64) << 20;
        Bench::new(NAME, label, Work::Bytes(bytes), move |problem| {
            let x = problem.random("x", dtype, [1 << 20], 1.0)?;
            Ok(vec![finite(&mut problem.graph, x)?])
        })
    };
    vec![bench("1M f32", DType::F32), bench("1M f16", DType::F16).f16()]
}
