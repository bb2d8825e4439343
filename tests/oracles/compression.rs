//! Compression and training objectives: what this crate has of the cases of `compression/`.

use std::path::Path;

use foveate::ops;
use foveate::ops::attention::{Blocked, Mask, blocked};
use foveate::ops::optimizer::Sgd;
use foveate::runtime::Device;
use foveate::train::{Description, LossScale, Mode, Optimizer, Schedule, Settings, Start, Trainer};
use foveate::weights::Declarations;
use foveate::{DType, Graph, HostTensor, TensorDesc, Value};

use crate::case::{self, Case};
use crate::compare::Rows;
use crate::devices::context;
use crate::file::File;
use crate::report::Report;
use crate::{Found, Result, is_safetensors};

/// What runs the cases of a `method`.
struct Row {
    method: &'static str,
    check: fn(&File) -> Result<Report>,
}

const ROWS: &[Row] = &[
    Row { method: "UniLM self-attention masks", check: |file| case::check(file, unilm_masks) },
    Row { method: "dynamic loss scaling", check: loss_scaling },
];

/// The test of the file at `path`, if a row reads it.
pub(crate) fn find(path: &Path) -> Result<Found> {
    if !is_safetensors(path) {
        return Ok(Found::Missing);
    }
    let method = File::open(path)?.spec.text("method")?.to_owned();
    let Some(check) = ROWS.iter().find(|row| row.method == method).map(|row| row.check) else {
        return Ok(Found::Missing);
    };
    let path = path.to_owned();
    Ok(Found::test(move || {
        let file = File::open(&path)?;
        file.spec.text("method")?;
        check(&file)
    }))
}

/// Attention of equal scores over values that are rows of the identity shows each query's keys, with equal weights.
fn unilm_masks(case: &mut Case<'_>) -> Result<()> {
    let time = case.file.tensors.get("seq2seq")?.shape().dims()[2];
    let lengths = case.file.tensors.get("length")?;
    let (batch, rows) = (lengths.shape().dims()[0], Rows::below(lengths, time, 1));
    let [length, source] = case.inputs(["length", "source_length"])?;
    let zeros = case.made("zeros", HostTensor::f32([batch, time, 1, 1], vec![0.0; batch * time])?)?;
    let identity = (0..batch * time * time).map(|at| f32::from(at / time % time == at % time)).collect();
    let identity = case.made("identity", HostTensor::f32([batch, time, 1, time], identity)?)?;
    let masks: [(&str, Mask<Value>); 4] = [
        ("bidirectional", Mask::full()),
        ("left_to_right", Mask::causal()),
        ("right_to_left", Mask::band(Some(0), None)),
        ("seq2seq", Mask::causal() | Mask::lengths(source)),
    ];
    for (name, mask) in masks {
        let spec = Blocked::new().mask(mask).lengths(length);
        let graph = &mut case.recording.graph;
        let shares = blocked(graph, zeros, zeros, identity, &spec)?;
        let shares = ops::reshape(graph, shares, [batch, time, time])?;
        let zero = ops::fill(graph, TensorDesc::f32([1]), 0.0)?;
        let seen = ops::greater(graph, shares, zero)?;
        case.output_rows(name, seen, rows.clone())?;
    }
    Ok(())
}

/// The trainer's loss scale: a loss whose gradient of `w` is the file's, by way of f16, and steps of rate 1 from `w`, so that what `w` loses is the
/// gradient that the optimiser saw. The scale itself shows in which steps overflow.
fn loss_scaling(file: &File) -> Result<Report> {
    let [growth, backoff] = ["growth_factor", "backoff_factor"].map(|key| file.spec.number(key));
    if [growth?, backoff?] != [2.0, 0.5] {
        return Err("this crate doubles and halves".into());
    }
    let patience = file.spec.count("growth_interval")?.into();
    let loss_scale = LossScale::Dynamic { start: file.spec.number("initial_scale")?, patience };
    let [gradient, unscaled] = ["gradient", "unscaled"].map(|name| file.tensors.get(name));
    let (gradient, unscaled) = (gradient?, unscaled?.to_f64());
    let &[steps, width] = gradient.shape().dims() else { return Err("`gradient` is not [steps, n]".into()) };
    let overflow = file.tensors.get("overflow")?.to_f64();
    let mut declarations = Declarations::new();
    declarations.root().weight("w", [width])?;
    let weights = [("w".to_owned(), HostTensor::f32([width], vec![0.0; width])?)].into();
    let optimizer = Optimizer::Sgd(Sgd { momentum: 0.0, weight_decay: 0.0, nesterov: false });
    let settings = Settings { loss_scale, ..Settings::new(optimizer, Schedule::constant(1.0)) };
    let mut report = Report::default();
    for (name, device) in [("gpu", Device::Gpu(context().clone())), ("cpu", Device::Cpu)] {
        if !device.stores(DType::F16) {
            report.not_compared(["anything on the GPU, which has no f16".to_owned()]);
            continue;
        }
        let record = |graph: &mut Graph, _: Mode| weighted(graph, width);
        let start = Start::Weights(&weights);
        let mut trainer =
            Trainer::new(&device, &declarations, &record, start, Description::default(), settings)?;
        for (step, overflow) in overflow.iter().enumerate().take(steps) {
            let own = step * width..(step + 1) * width;
            let batch = HostTensor::f32([width], gradient.to_f32()[own.clone()].to_vec())?;
            let before = trainer.read("w")?.to_f64();
            let is_skipped = trainer.step(&[&[("gradient", &batch)]])?.skipped;
            if is_skipped != (*overflow == 1.0) {
                return Err(format!("{name}: step {step}: skipped: {is_skipped}").into());
            }
            let after = trainer.read("w")?.to_f64();
            for ((before, after), expected) in before.iter().zip(&after).zip(&unscaled[own]) {
                let allowed = 1e-6 * expected.abs() + f64::from(f32::EPSILON) * before.abs().max(after.abs());
                let is_near = (before - after - expected).abs() <= allowed;
                if !is_near {
                    return Err(format!(
                        "{name}: step {step}: expected {expected:e}, found {:e}",
                        before - after
                    )
                    .into());
                }
            }
        }
    }
    // The trainer tells neither its scale nor what would be without.
    let others = ["scale", "final_scale", "unscaled_without"];
    file.tensors.pass_over(&others);
    file.spec.pass_over(&["inputs", "constants", "integers", "outputs", "differentiated_outputs"]);
    file.refuse_unread()?;
    report.not_compared(others.map(str::to_owned));
    Ok(report)
}

/// `sum w gradient`, where the gradient of `w` is rounded to f16 on its way.
fn weighted(graph: &mut Graph, width: usize) -> foveate::Result<Value> {
    let gradient = graph.input("gradient", TensorDesc::f32([width]))?;
    let weights = graph.parameter("w", TensorDesc::f32([width]))?;
    let half = ops::cast(graph, weights, DType::F16)?;
    let whole = ops::cast(graph, half, DType::F32)?;
    let products = ops::multiply(graph, whole, gradient)?;
    let total = ops::sum(graph, products, &[0])?;
    ops::reshape(graph, total, [1])
}
