//! Conformance cases: extents around tile edges, every activation and gate, every choice of arguments.

use super::{Linear, NAME, linear};
use crate::Result;
use crate::check::{Bench, Case, Problem, Work, exp_ulps};
use crate::graph::Value;
use crate::ops::{Activation, Gate};
use crate::tensor::{DType, HostTensor};

#[derive(Clone, Debug)]
struct Setup {
    dtype: DType,
    leading: &'static [usize],
    inner: usize,
    out: usize,
    activation: Activation,
    gate: Option<Gate>,
    bias: bool,
    residual: bool,
    /// Whether what is activated is compared, too.
    sums: bool,
}

impl Setup {
    fn new(leading: &'static [usize], inner: usize, out: usize) -> Self {
        Self {
            dtype: DType::F32,
            leading,
            inner,
            out,
            activation: Activation::Identity,
            gate: None,
            bias: true,
            residual: false,
            sums: false,
        }
    }

    fn label(&self) -> String {
        let Self { dtype, leading, inner, out, activation, .. } = self;
        let mut label = format!("{dtype} {leading:?} x {inner} to {out}");
        if *activation != Activation::Identity {
            label += &format!(", {activation:?}");
        }
        if let Some(gate) = self.gate {
            label += &format!(", gate {gate:?}");
        }
        for (there, name) in [(self.bias, "bias"), (self.residual, "residual"), (self.sums, "sums")] {
            if there {
                label += &format!(", {name}");
            }
        }
        label
    }

    fn build(&self, problem: &mut Problem) -> Result<Vec<Value>> {
        let Self { dtype, inner, out, .. } = *self;
        let with = |last: usize| self.leading.iter().copied().chain([last]).collect::<Vec<_>>();
        let rows = if self.gate.is_some() { 2 * out } else { out };
        let x = problem.random("x", dtype, with(inner), 1.0)?;
        let weight = problem.random("weight", dtype, [rows, inner], 1.0)?;
        let mut spec = Linear::new().activation(self.activation);
        if let Some(gate) = self.gate {
            spec = spec.gated(gate);
        }
        if self.bias {
            spec = spec.bias(problem.random("bias", dtype, [rows], 2.0)?);
        }
        if self.residual {
            spec = spec.residual(problem.random("residual", dtype, with(out), 2.0)?);
        }
        if self.sums {
            let inputs: Vec<Value> = [x, weight].into_iter().chain(spec.bias).chain(spec.residual).collect();
            return problem.graph.push_builtin(spec.op(), &inputs);
        }
        Ok(vec![linear(&mut problem.graph, x, weight, &spec)?])
    }

    fn case(self) -> Case {
        // One exponential above or below a fraction bar; it weighs most where its argument is small.
        let ulps = if self.activation == Activation::Identity { 0.0 } else { exp_ulps(1.0) };
        Case::new(NAME, self.label(), move |problem| self.build(problem)).builtin_ulps(ulps)
    }
}

pub(crate) fn cases() -> Vec<Case> {
    let mut setups = Vec::new();
    // Few kinds of kernel, as each has to be compiled.
    for (leading, inner, out) in [
        (&[1][..], 1, 1),
        (&[], 5, 7),
        (&[2], 63, 5),
        (&[3, 5], 64, 64),
        (&[65], 97, 33),
        (&[130], 64, 100),
        (&[1], 1000, 300),
        (&[1000], 4, 8),
        (&[2, 3, 4], 36, 44),
        (&[0], 4, 4),
        (&[4], 0, 4),
        // Few rows, as in decoding: around the lanes that share them, and around whole vectors.
        (&[1], 770, 67),
        (&[1], 768, 68),
        (&[2], 100, 37),
        (&[3], 129, 12),
        (&[8], 260, 34),
        (&[2, 4], 64, 132),
    ] {
        let plain = Setup::new(leading, inner, out);
        setups.push(Setup { residual: true, activation: Activation::Gelu, ..plain.clone() });
        setups.push(Setup { gate: Some(Gate::First), activation: Activation::Silu, ..plain });
    }
    let small = Setup::new(&[37], 20, 36);
    let kept = Setup { sums: true, activation: Activation::Gelu, ..small.clone() };
    for gate in [None, Some(Gate::First)] {
        setups.push(Setup { gate, residual: true, ..kept.clone() });
        setups.push(Setup { gate, out: 35, ..kept.clone() });
    }
    let odd = Setup::new(&[6], 7, 35);
    for activation in [
        Activation::Gelu,
        Activation::GeluTanh,
        Activation::Relu,
        Activation::Sigmoid,
        Activation::Silu,
        Activation::Tanh,
        Activation::Elu { alpha: 1.5 },
    ] {
        setups.push(Setup { activation, ..small.clone() });
    }
    setups.push(Setup { bias: false, ..odd.clone() });
    setups.push(Setup { bias: false, residual: true, ..small.clone() });
    setups.push(Setup { gate: Some(Gate::Second), activation: Activation::Sigmoid, residual: true, ..odd });
    setups.push(Setup { gate: Some(Gate::Second), bias: false, ..small });
    let few_f16 = [(&[1][..], 768, 36), (&[3], 101, 20), (&[8], 72, 33)].map(|(leading, inner, out)| Setup {
        dtype: DType::F16,
        residual: true,
        ..Setup::new(leading, inner, out)
    });
    let f16 = setups.iter().step_by(3).map(|setup| Setup { dtype: DType::F16, ..setup.clone() });
    let rounded = f16.chain(few_f16).map(Setup::case);
    setups.iter().map(|setup| setup.clone().case()).chain(rounded).chain(long_inner_cases()).collect()
}

/// Inner axes over which loops take more turns than some drivers let them: 65,535 on Mesa 22.3's llvmpipe. All numbers are whole, so that
/// nothing may differ whatever order they are added in.
fn long_inner_cases() -> Vec<Case> {
    let whole = |problem: &mut Problem, name: &str, dtype, shape: &[usize], every: usize| {
        let elements = (0..shape.iter().product()).map(|i: usize| f32::from(i.is_multiple_of(every)));
        problem.input(name, HostTensor::from_f32(dtype, shape, &elements.collect::<Vec<_>>())?)
    };
    [
        (DType::F32, [3, 1_100_000, 5], None),
        (DType::F32, [12, 600_001, 8], Some(Gate::Second)),
        (DType::F16, [2, 1_100_008, 12], Some(Gate::First)),
        (DType::F16, [9, 600_000, 6], None),
    ]
    .into_iter()
    .map(|(dtype, [rows, inner, out], gate)| {
        let gated = if gate.is_some() { ", gated" } else { "" };
        Case::new(NAME, format!("{dtype} [{rows}] x {inner} to {out}{gated}, long"), move |problem| {
            let factors = if gate.is_some() { 2 * out } else { out };
            let x = whole(problem, "x", dtype, &[rows, inner], 7001)?;
            let weight = whole(problem, "weight", dtype, &[factors, inner], 2)?;
            let bias = whole(problem, "bias", dtype, &[factors], 3)?;
            let residual = whole(problem, "residual", dtype, &[rows, out], 2)?;
            let mut spec = Linear::new().activation(Activation::Relu).bias(bias).residual(residual);
            if let Some(gate) = gate {
                spec = spec.gated(gate);
            }
            Ok(vec![linear(&mut problem.graph, x, weight, &spec)?])
        })
    })
    .collect()
}

/// The layers of MiniLM on 2048 tokens, and products of few rows, as decoding has them.
pub(crate) fn benches() -> Vec<Bench> {
    const TOKENS: usize = 2048;
    type Finish = fn(&mut Problem, usize, Linear) -> Result<Linear>;
    let plain: Finish = |_, _, spec| Ok(spec);
    let gelu: Finish = |_, _, spec| Ok(spec.activation(Activation::Gelu));
    let residual: Finish =
        |problem, out, spec| Ok(spec.residual(problem.random("residual", DType::F32, [TOKENS, out], 1.0)?));
    let bench = |(label, out, inner, finish): (&str, usize, usize, Finish)| {
        let flops = 2 * (TOKENS * out * inner) as u64;
        Bench::new(NAME, label, Work::Flops(flops), move |problem| {
            let x = problem.random("x", DType::F32, [TOKENS, inner], 1.0)?;
            let weight = problem.random("weight", DType::F32, [out, inner], 1.0)?;
            let bias = problem.random("bias", DType::F32, [out], 1.0)?;
            let spec = finish(problem, out, Linear::new().bias(bias))?;
            Ok(vec![linear(&mut problem.graph, x, weight, &spec)?])
        })
    };
    let mut benches: Vec<Bench> = [
        ("384 to 384", 384, 384, plain),
        ("384 to 1536", 1536, 384, plain),
        ("1536 to 384", 384, 1536, plain),
        ("384 to 1536, gelu", 1536, 384, gelu),
        ("1536 to 384, residual", 384, 1536, residual),
    ]
    .map(bench)
    .into();
    let flops = 2 * (TOKENS * 3072 * 384) as u64;
    benches.push(Bench::new(NAME, "384 to 1536, SwiGLU", Work::Flops(flops), |problem| {
        let x = problem.random("x", DType::F32, [TOKENS, 384], 1.0)?;
        let weight = problem.random("weight", DType::F32, [3072, 384], 1.0)?;
        let spec = Linear::new().activation(Activation::Silu).gated(Gate::First);
        Ok(vec![linear(&mut problem.graph, x, weight, &spec)?])
    }));
    benches.extend(few_row_benches());
    benches
}

/// GPT-2's layers on few rows. Bytes are one read of every weight, which all else is small against.
fn few_row_benches() -> Vec<Bench> {
    let bench = |(dtype, rows, inner, out): (DType, usize, usize, usize)| {
        let label = format!("{rows} x {inner} to {out} {dtype}");
        let bench =
            Bench::new(NAME, label, Work::Bytes((out * inner * dtype.size()) as u64), move |problem| {
                let x = problem.random("x", dtype, [rows, inner], 1.0)?;
                let weight = problem.random("weight", dtype, [out, inner], 1.0)?;
                let bias = problem.random("bias", dtype, [out], 1.0)?;
                Ok(vec![linear(&mut problem.graph, x, weight, &Linear::new().bias(bias))?])
            });
        if dtype == DType::F16 { bench.f16() } else { bench }
    };
    [
        (DType::F32, 1, 768, 3072),
        (DType::F32, 8, 768, 3072),
        (DType::F32, 1, 3072, 768),
        (DType::F32, 8, 3072, 768),
        (DType::F32, 1, 768, 50_257),
        (DType::F32, 8, 768, 50_257),
        (DType::F16, 1, 768, 50_257),
        (DType::F16, 8, 768, 50_257),
    ]
    .map(bench)
    .into()
}
