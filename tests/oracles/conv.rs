//! Convolutions and what stands beside them, of `mechanisms/`.

use foveate::ops::{self, Activation, Conv1d, Conv2d, Linear};

use crate::Result;
use crate::case::Case;
use crate::mechanisms::{Row, row};

pub(crate) const ROWS: &[Row] = &[
    row("conv1d over time", conv1d),
    row("conv2d", conv2d),
    row("speech subsampling by 4 (Conformer/ESPnet)", subsampling),
];

/// Numbers of a spec.
fn counts<const N: usize>(case: &Case<'_>, keys: [&str; N]) -> Result<[usize; N]> {
    let counts = keys.into_iter().map(|key| Ok(case.file.spec.count(key)? as usize));
    let counts: Vec<usize> = counts.collect::<Result<_>>()?;
    Ok(counts.try_into().expect("as many numbers as keys"))
}

fn conv1d(case: &mut Case<'_>) -> Result<()> {
    let [stride, dilation, groups] = counts(case, ["stride", "dilation", "groups"])?;
    let [before, behind, kernel] = counts(case, ["pad_left", "pad_right", "kernel"])?;
    let [x, weight] = case.inputs(["x", "w"])?;
    if case.dims(weight)?[2] != kernel {
        return Err("the weight has another kernel".into());
    }
    let mut spec = Conv1d::new().stride(stride).dilation(dilation).padding(before, behind).groups(groups);
    if case.file.tensors.find("b").is_some() {
        spec = spec.bias(case.input("b")?);
    }
    let y = ops::conv1d(&mut case.recording.graph, x, weight, &spec)?;
    case.output("out", y)
}

/// Two numbers of a list.
fn pair(list: Option<&serde_json::Value>) -> Result<[usize; 2]> {
    let number = |at: usize| list.and_then(|list| list[at].as_u64()).map(|number| number as usize);
    number(0)
        .zip(number(1))
        .map(|(first, second)| [first, second])
        .ok_or_else(|| "expected two numbers".into())
}

fn conv2d(case: &mut Case<'_>) -> Result<()> {
    let spec = &case.file.spec;
    let (stride, pad) = (spec.find("stride"), spec.find("pad"));
    let padding = |key: &str| pair(pad.and_then(|pad| pad.get(key)));
    let (stride, down, across) = (pair(stride)?, padding("top_bottom")?, padding("left_right")?);
    let [x, weight, bias] = case.inputs(["x", "w", "b"])?;
    let spec = Conv2d::new().stride(stride).padding(down, across).bias(bias);
    let y = ops::conv2d(&mut case.recording.graph, x, weight, &spec)?;
    case.output("out", y)
}

/// Strides of 2 twice over time and frequency; the channels of each frequency lie behind one another for the dense layer.
fn subsampling(case: &mut Case<'_>) -> Result<()> {
    let x = case.input("x")?;
    let [batch, time, width]: [usize; 3] = case.dims(x)?[..].try_into()?;
    let mut y = ops::reshape(&mut case.recording.graph, x, [batch, time, width, 1])?;
    for [weight, bias] in [["w1", "b1"], ["w2", "b2"]] {
        let [weight, bias] = case.inputs([weight, bias])?;
        let graph = &mut case.recording.graph;
        y = ops::conv2d(graph, y, weight, &Conv2d::new().stride([2, 2]).bias(bias))?;
        y = ops::activate(graph, y, Activation::Relu)?;
    }
    let y = ops::transpose(&mut case.recording.graph, y, &[0, 1, 3, 2])?;
    let [batch, time, channels, width]: [usize; 4] = case.dims(y)?[..].try_into()?;
    let y = ops::reshape(&mut case.recording.graph, y, [batch, time, channels * width])?;
    let [weight, bias] = case.inputs(["w_out", "b_out"])?;
    let y = ops::linear(&mut case.recording.graph, y, weight, &Linear::new().bias(bias))?;
    case.output("out", y)
}
