//! Convolutions and what stands beside them, of `mechanisms/`.

use foveate::nn::{
    BatchNorm, Block, ConformerAttention, ConformerBlock, ConformerConv, ConformerPositions, DynamicConv,
    FeedForward, GatedConv, GroupNorm, LayerNorm, Layout, LightConv, Linear as Dense, LongShortRange, Mixer,
    Recorder, Residual, SelfAttention, SpanConvAttention, TapKernel, Training,
};
use foveate::ops::attention::{Blocked, Mask};
use foveate::ops::loss::{Alignment, Ctc};
use foveate::ops::{self, Activation, Conv1d, Conv2d, Linear};
use foveate::weights::{Declarations, Scope};
use foveate::{DType, Graph, TensorDesc, Value};

use crate::Result;
use crate::case::Case;
use crate::compare::Rows;
use crate::mechanisms::{Row, row};

pub(crate) const ROWS: &[Row] = &[
    row("CTC loss", ctc),
    row("Conformer block", conformer_block),
    row("Conformer convolution module", conformer_conv),
    row("ConvBERT mixed attention: self-attention and span-based dynamic convolution", span_conv),
    row("LSRA block (Lite Transformer), post-norm", long_short_range),
    row("batch norm over batch and time", batch_norm),
    row("conv1d over time", conv1d),
    row("conv2d", conv2d),
    row("dynamic convolution", dynamic_conv),
    row("group linear transform", group_linear),
    row("group norm", group_norm),
    row("lightweight convolution", light_conv),
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

/// The layout of a case: padded where the file has lengths, which are then an input.
fn layout(case: &mut Case<'_>) -> Result<Layout> {
    Ok(match case.file.tensors.find("length").is_some() {
        true => Layout::Padded { lengths: case.input("length")? },
        false => Layout::Rows,
    })
}

/// Every tensor that the file has a gradient of but `x` as the weight that a layer declares under its name.
fn weights(case: &mut Case<'_>) -> Result<()> {
    let file = case.file;
    for name in file.spec.texts("inputs")?.into_iter().filter(|&name| name != "x") {
        case.weight(name, name)?;
    }
    Ok(())
}

/// Rows of tokens of `x: [batch, time, ..]`: all where the file has no lengths.
fn tokens(case: &Case<'_>, x: Value) -> Result<Rows> {
    let time = case.dims(x)?[1];
    Ok(case.file.tensors.find("length").map_or(Rows::All, |lengths| Rows::below(lengths, time, 1)))
}

fn recorder(graph: &mut Graph, trains: bool) -> Recorder<'_> {
    let recorder = Recorder::new(graph, DType::F32);
    if trains { recorder.training(Training::default()) } else { recorder }
}

fn kernel(case: &Case<'_>, heads: &str) -> Result<TapKernel> {
    let [heads, taps, before] = counts(case, [heads, "kernel", "pad_left"])?;
    Ok(TapKernel { heads, taps, before, drops_taps: false })
}

fn light_conv(case: &mut Case<'_>) -> Result<()> {
    let kernel = kernel(case, "heads")?;
    let [behind, dropped] = counts(case, ["pad_right", "dropconnect"])?;
    if behind + kernel.before + 1 != kernel.taps || dropped != 0 {
        return Err("this test knows kernels as long as their padding, of which nothing is dropped".into());
    }
    let (x, layout) = (case.input("x")?, layout(case)?);
    case.weight("weight", "w")?;
    let layer = LightConv::declare(&mut Declarations::new().root(), kernel)?;
    let y = layer.record(&mut recorder(&mut case.recording.graph, false), x, &layout)?;
    case.output("out", y)
}

fn dynamic_conv(case: &mut Case<'_>) -> Result<()> {
    let kernel = kernel(case, "heads")?;
    let [behind, dropped] = counts(case, ["pad_right", "dropconnect"])?;
    if behind + kernel.before + 1 != kernel.taps || dropped != 0 {
        return Err("this test knows kernels as long as their padding, of which nothing is dropped".into());
    }
    let (x, layout) = (case.input("x")?, layout(case)?);
    let width = case.dims(x)?[2];
    case.weight("weight", "w_kernel")?;
    case.weight("bias", "b_kernel")?;
    let mut declarations = Declarations::new();
    let dense = Dense::declare(&mut declarations.root(), width, kernel.heads * kernel.taps)?;
    let mut layer = DynamicConv::of(dense, kernel)?;
    if case.file.spec.text("formula")?.contains("left out of the softmax") {
        layer = layer.renormalised();
    }
    let mut recorder = recorder(&mut case.recording.graph, false);
    let y = layer.record(&mut recorder, x, &layout)?;
    let read = match layout {
        Layout::Padded { lengths } => without_padding(&mut recorder, x, lengths)?,
        _ => x,
    };
    let kernels = layer.record_kernels(&mut recorder, read, &layout)?;
    case.output("out", y)?;
    case.output("kernel", kernels)
}

/// `x: [batch, time, width]` with zeros from each item's length on.
fn without_padding(graph: &mut Graph, x: Value, lengths: Value) -> Result<Value> {
    let dims = graph.desc(x)?.shape.dims().to_vec();
    let places = (0..dims[1] as i32).collect();
    let places = ops::constant(graph, foveate::HostTensor::i32([1, dims[1], 1], places)?)?;
    let lengths = ops::reshape(graph, lengths, [dims[0], 1, 1])?;
    let is_token = ops::less(graph, places, lengths)?;
    let is_token = ops::cast(graph, is_token, DType::F32)?;
    Ok(ops::multiply(graph, x, is_token)?)
}

fn group_linear(case: &mut Case<'_>) -> Result<()> {
    let [groups] = counts(case, ["groups"])?;
    let is_shuffled = case.file.spec.bool("shuffle")?;
    let [x, weights, bias] = case.inputs(["x", "weights", "bias"])?;
    let out = case.dims(bias)?.iter().product();
    let leading = case.dims(x)?[..2].to_vec();
    let graph = &mut case.recording.graph;
    let bias = ops::reshape(graph, bias, [out])?;
    let mut y = ops::group_linear(graph, x, weights, Some(bias))?;
    if is_shuffled {
        let apart = ops::reshape(graph, y, [leading[0], leading[1], groups, out / groups])?;
        let turned = ops::transpose(graph, apart, &[0, 1, 3, 2])?;
        y = ops::reshape(graph, turned, [leading[0], leading[1], out])?;
    }
    case.output("out", y)
}

fn group_norm(case: &mut Case<'_>) -> Result<()> {
    let ([groups], eps) = (counts(case, ["groups"])?, case.file.spec.number("eps")?);
    let x = case.input("x")?;
    let width = case.dims(x)?[2];
    case.weight("weight", "w")?;
    case.weight("bias", "b")?;
    let layer = GroupNorm::declare(&mut Declarations::new().root(), width, groups, eps)?;
    let y = layer.record(&mut case.recording.graph, x)?;
    case.output("out", y)
}

fn batch_norm(case: &mut Case<'_>) -> Result<()> {
    let spec = &case.file.spec;
    let (eps, momentum, trains) = (spec.number("eps")?, spec.number("momentum")?, spec.bool("train")?);
    let (x, layout) = (case.input("x")?, layout(case)?);
    let width = case.dims(x)?[2];
    for (parameter, name) in
        [("weight", "w"), ("bias", "b"), ("running_mean", "running_mean"), ("running_var", "running_var")]
    {
        case.weight(parameter, name)?;
    }
    let layer = BatchNorm::declare(&mut Declarations::new().root(), width, eps)?.momentum(momentum);
    let y = layer.record(&mut recorder(&mut case.recording.graph, trains), x, &layout)?;
    case.output("out", y)?;
    if trains {
        let [mean, variance, ..] = layer.statistics(&mut case.recording.graph, x, &layout)?;
        for (name, value) in [("batch_mean", mean), ("batch_var", variance)] {
            let value = ops::reshape(&mut case.recording.graph, value, [width])?;
            case.output(name, value)?;
        }
        running_averages(case)?;
    }
    Ok(())
}

/// What the run leaves as running averages.
fn running_averages(case: &mut Case<'_>) -> Result<()> {
    let updates: Vec<Value> = case.recording.graph.updates().iter().map(|(_, value)| *value).collect();
    let [mean, variance] = updates[..] else { return Err("two averages are not what is updated".into()) };
    case.output("new_running_mean", mean)?;
    case.output("new_running_var", variance)
}

/// The module whose weights the file has under `scope`.
fn conformer_module(scope: &mut Scope<'_>, width: usize, kernel: usize) -> Result<ConformerConv> {
    let mut dense = |name, out| Dense::declare_without_bias(&mut scope.at(name), width, out);
    let (expand, reduce) = (dense("pointwise_conv1", 2 * width)?, dense("pointwise_conv2", width)?);
    Ok(ConformerConv {
        norm: LayerNorm::declare(&mut scope.at("layer_norm"), width, 1e-5)?,
        expand,
        depthwise: scope.weight("depthwise_conv.weight", [width, 1, kernel])?,
        before: (kernel - 1) / 2,
        batch_norm: BatchNorm::declare(&mut scope.at("batch_norm"), width, 1e-5)?,
        activation: Activation::Silu,
        reduce,
    })
}

/// Padding gives 0 in training, which all rows show.
fn conformer_conv(case: &mut Case<'_>) -> Result<()> {
    let ([kernel], trains) = (counts(case, ["kernel"])?, case.file.spec.bool("train")?);
    let (x, layout) = (case.input("x")?, layout(case)?);
    let width = case.dims(x)?[2];
    weights(case)?;
    for name in ["running_mean", "running_var"] {
        case.weight(&format!("batch_norm.{name}"), name)?;
    }
    let layer = conformer_module(&mut Declarations::new().root(), width, kernel)?;
    let y = Mixer::record(&layer, &mut recorder(&mut case.recording.graph, trains), x, None, &layout)?;
    case.output("out", y)?;
    if trains { running_averages(case) } else { Ok(()) }
}

/// `position: [2 time - 1, width]` begins with the greatest distance, and the layer's distances with the least.
fn conformer_block(case: &mut Case<'_>) -> Result<()> {
    let ([heads, kernel], trains) = (counts(case, ["heads", "kernel"])?, case.file.spec.bool("train")?);
    if case.file.spec.text("activation")? != "swish" || case.file.spec.number("layer_norm_eps")? != 1e-5 {
        return Err("this test knows swish, and norms with an eps of 1e-5".into());
    }
    let (x, layout) = (case.input("x")?, layout(case)?);
    let width = case.dims(x)?[2];
    let hidden = case.file.tensors.get("ffn1.intermediate_dense.bias")?.shape().elements();
    weights(case)?;
    for name in ["running_mean", "running_var"] {
        case.weight(&format!("conv_module.batch_norm.{name}"), name)?;
    }
    let position = case.input("position")?;
    let mut declarations = Declarations::new();
    let mut root = declarations.root();
    let norm = |root: &mut Scope<'_>, name: &str| LayerNorm::declare(&mut root.at(name), width, 1e-5);
    let network = |root: &mut Scope<'_>, name: &str| -> Result<FeedForward> {
        let mut scope = root.at(name);
        Ok(FeedForward {
            up: Dense::declare(&mut scope.at("intermediate_dense"), width, hidden)?,
            gate: None,
            activation: Activation::Silu,
            down: Dense::declare(&mut scope.at("output_dense"), hidden, width)?,
        })
    };
    let feeding = [
        (norm(&mut root, "ffn1_layer_norm")?, network(&mut root, "ffn1")?),
        (norm(&mut root, "ffn2_layer_norm")?, network(&mut root, "ffn2")?),
    ];
    let (attention_norm, last) =
        (norm(&mut root, "self_attn_layer_norm")?, norm(&mut root, "final_layer_norm")?);
    let mut own = root.at("self_attn");
    let mut dense = |name| Dense::declare(&mut own.at(name), width, width);
    let layers = [dense("linear_q")?, dense("linear_k")?, dense("linear_v")?];
    let output = dense("linear_out")?;
    let positions = ConformerPositions::Relative {
        key: Dense::declare_without_bias(&mut own.at("linear_pos"), width, width)?,
        biases: [
            own.weight("pos_bias_u", [heads, width / heads])?,
            own.weight("pos_bias_v", [heads, width / heads])?,
        ],
    };
    let attention = ConformerAttention { layers, positions, output, heads, left_context: None };
    let conv = conformer_module(&mut root.at("conv_module"), width, kernel)?;
    let block = ConformerBlock { feeding, attention_norm, attention, conv, norm: last };
    let graph = &mut case.recording.graph;
    let distances = ops::flip(graph, position, &[0])?;
    let mut recorder = recorder(graph, trains);
    let y = block.record_around(&mut recorder, x, &layout, |recorder, x| {
        block.attention.record_with(recorder, x, Some(distances), &layout)
    })?;
    let rows = tokens(case, x)?;
    case.output_rows("out", y, rows)?;
    if trains { running_averages(case) } else { Ok(()) }
}

fn long_short_range(case: &mut Case<'_>) -> Result<()> {
    let (kernel, [heads]) = (kernel(case, "conv_heads")?, counts(case, ["attention_heads"])?);
    let is_causal = case.file.spec.bool("causal")?;
    let (x, layout) = (case.input("x")?, layout(case)?);
    let width = case.dims(x)?[2];
    let (half, hidden) = (width / 2, case.file.tensors.get("fc1.bias")?.shape().elements());
    weights(case)?;
    let mut declarations = Declarations::new();
    let mut root = declarations.root();
    let mut attention = SelfAttention::declare(&mut root.at("attn"), ["q", "k", "v", "o"], half, heads)?;
    if is_causal {
        attention = attention.attending(Blocked::new().mask(Mask::causal()));
    }
    let mut own = root.at("conv");
    let up = Dense::declare(&mut own.at("linear1"), half, 2 * half)?;
    let down = Dense::declare(&mut own.at("linear2"), half, half)?;
    let conv: Box<dyn Mixer> = match case.file.tensors.find("conv.weight").is_some() {
        true => Box::new(LightConv::declare(&mut own, kernel)?),
        false => Box::new(DynamicConv::declare(&mut own.at("weight_linear"), half, kernel)?),
    };
    let norm = |root: &mut Scope<'_>, name: &str| {
        LayerNorm::declare(&mut root.at(name), width, 1e-5).map(Residual::after)
    };
    let block = Block {
        mixer: LongShortRange { attention, conv: GatedConv { up, conv, down } },
        mixing: norm(&mut root, "attn_norm")?,
        cross: None,
        feed_forward: FeedForward {
            up: Dense::declare(&mut root.at("fc1"), width, hidden)?,
            gate: None,
            activation: Activation::Relu,
            down: Dense::declare(&mut root.at("fc2"), hidden, width)?,
        },
        feeding: norm(&mut root, "ffn_norm")?,
    };
    let mut recorder = recorder(&mut case.recording.graph, false);
    let mix = block.mixer.record(&mut recorder, x, None, &layout)?;
    let y = block.record(&mut recorder, x, &layout, None)?;
    let rows = tokens(case, x)?;
    case.output_rows("mix", mix, rows.clone())?;
    case.output_rows("out", y, rows)
}

fn span_conv(case: &mut Case<'_>) -> Result<()> {
    let [heads, size, taps] = counts(case, ["heads", "head_dim", "kernel"])?;
    let (x, layout) = (case.input("x")?, layout(case)?);
    let width = case.dims(x)?[2];
    let inner = heads * size;
    // Files of models have more axes than this one.
    let file = case.file;
    for name in file.spec.texts("inputs")?.into_iter().filter(|&name| name != "x") {
        let dims = file.tensors.get(name)?.shape().dims().to_vec();
        let shape = match name {
            "key_conv_attn_layer.pointwise.weight" => vec![inner, width, 1],
            "key_conv_attn_layer.bias" => vec![inner, 1],
            _ => dims,
        };
        case.weight_of_shape(name, name, shape)?;
    }
    let layer = SpanConvAttention::declare(&mut Declarations::new().root(), [width, inner], heads, taps)?;
    let mut recorder = recorder(&mut case.recording.graph, false);
    let [y, kernels] = layer.record_with_kernels(&mut recorder, x, &layout)?;
    case.output("kernel", kernels)?;
    case.output("out", y)
}

/// `loss_mean` is the mean of the losses, each by its number of labels.
fn ctc(case: &mut Case<'_>) -> Result<()> {
    let spec = &case.file.spec;
    let mut ctc = Ctc::new().blank(spec.count("blank")?);
    if spec.bool("zero_infinity")? {
        ctc = ctc.zero_infinity();
    }
    let [logits, targets, labels, frames] =
        case.inputs(["logits", "targets", "target_length", "input_length"])?;
    let batch = case.dims(logits)?[0];
    let graph = &mut case.recording.graph;
    let losses = ops::loss::ctc(graph, logits, &Alignment { targets, frames, labels }, &ctc)?;
    let total = ops::sum(graph, losses, &[0])?;
    let counts = ops::cast(graph, labels, DType::F32)?;
    let one = ops::fill(graph, TensorDesc::f32([1]), 1.0)?;
    let counts = ops::maximum(graph, counts, one)?;
    let shares = ops::divide(graph, losses, counts)?;
    let mean = ops::sum(graph, shares, &[0])?;
    let mean = ops::scale(graph, mean, 1.0 / batch as f32)?;
    case.output("loss", losses)?;
    case.output("loss_mean", mean)?;
    case.output("loss_sum", total)
}
