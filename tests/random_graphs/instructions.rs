//! What a random graph is made of. Every instruction picks what it reads among the values there are, by the numbers it was drawn with.

use foveate::nn::Reversible;
use foveate::ops::attention::{Blocked, Mask, blocked};
use foveate::ops::{
    self, Dropout, LayerNorm, Linear, Matmul, Pool, RmsNorm, l2_normalize, layer_norm, rms_norm,
};
use foveate::{DType, Graph, HostTensor, Result, TensorDesc, Value};

use super::recorder::{Known, Recorder};
use super::training::{accumulated, adam, descent, update};

/// One draw: which of [`INSTRUCTIONS`], and the numbers that its choices are made by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Instruction {
    pub(crate) kind: usize,
    pub(crate) picks: [usize; 4],
}

pub(crate) type Picks = [usize; 4];
/// Nothing where there is no value that suits.
pub(crate) type Recorded = Result<Option<()>>;
type Step = fn(&mut Recorder, Picks) -> Recorded;

/// Name, how often it is drawn, and what it records.
pub(crate) const INSTRUCTIONS: &[(&str, usize, Step)] = &[
    ("input", 3, input),
    ("parameter", 2, parameter),
    ("constant", 1, constant),
    ("activation", 5, activation),
    ("arithmetic", 6, arithmetic),
    ("softmax", 2, softmax),
    ("norm", 3, norm),
    ("matmul", 4, matmul),
    ("linear", 4, linear),
    ("reshape", 5, reshape),
    ("transpose", 3, transpose),
    ("slice", 3, slice),
    ("split", 2, split),
    ("concat", 4, concat),
    ("pad", 2, pad),
    ("broadcast", 2, broadcast),
    ("sum", 3, sum),
    ("pool", 3, pool),
    ("embedding", 2, embedding),
    ("dropout", 2, dropout),
    ("attention", 5, attention),
    ("half", 1, half),
    ("gradients", 4, gradients),
    ("segment", 3, |_, _| Ok(None)),
    ("reversible", 2, reversible),
    ("replay", 2, replay),
    ("update", 4, update),
    ("accumulate", 3, accumulated),
    ("sgd", 3, descent),
    ("adamw", 2, adam),
    ("output", 7, output),
];

/// Extents that steps fit together by; the last has no elements.
const SHAPES: [&[usize]; 9] =
    [&[6, 8], &[8], &[2, 6, 8], &[1, 6, 2, 4], &[3, 5], &[2, 3, 4, 8], &[1], &[7, 1, 3], &[0, 8]];

fn input(recorder: &mut Recorder, [shape, ..]: Picks) -> Recorded {
    recorder.input(SHAPES[shape % SHAPES.len()]);
    Ok(Some(()))
}

fn parameter(recorder: &mut Recorder, [shape, ..]: Picks) -> Recorded {
    recorder.parameter(SHAPES[shape % SHAPES.len()]);
    Ok(Some(()))
}

fn constant(recorder: &mut Recorder, [shape, data, ..]: Picks) -> Recorded {
    let dims = SHAPES[shape % SHAPES.len()];
    let count = dims.iter().product::<usize>();
    if data % 2 == 0 {
        let value = ops::fill(&mut recorder.graph, TensorDesc::f32(dims), 0.25)?;
        return recorder.keep(value, "fill(0.25)", 0.25);
    }
    let tensor = HostTensor::f32(dims, (0..count).map(|i| (i % 5) as f32 * 0.25).collect())?;
    let value = ops::constant(&mut recorder.graph, tensor)?;
    recorder.keep(value, "constant(..)", 1.0)
}

type Unary = fn(&mut Graph, Value) -> Result<Value>;

fn activation(recorder: &mut Recorder, [x, which, ..]: Picks) -> Recorded {
    const ACTIVATIONS: [(&str, Unary); 10] = [
        ("scale by -0.5", |graph, x| ops::scale(graph, x, -0.5)),
        ("relu", ops::relu),
        ("gelu", ops::gelu),
        ("gelu_tanh", ops::gelu_tanh),
        ("silu", ops::silu),
        ("sigmoid", ops::sigmoid),
        ("tanh", ops::tanh),
        ("sin", ops::sin),
        ("abs", ops::abs),
        ("stop_gradient", ops::stop_gradient),
    ];
    let Some(x) = recorder.float(x) else { return Ok(None) };
    let (name, op) = ACTIVATIONS[which % ACTIVATIONS.len()];
    let value = op(&mut recorder.graph, x.value)?;
    recorder.keep(value, &format!("{name} {}", x.name), x.largest.max(1.0))
}

fn arithmetic(recorder: &mut Recorder, [a, b, which, _]: Picks) -> Recorded {
    type Binary = fn(&mut Graph, Value, Value) -> Result<Value>;
    const OPS: [(&str, Binary); 5] = [
        ("add", ops::add),
        ("subtract", ops::subtract),
        ("multiply", ops::multiply),
        ("maximum", ops::maximum),
        ("minimum", ops::minimum),
    ];
    let Some(a) = recorder.float(a) else { return Ok(None) };
    let Some(b) = recorder.pick(b, |b| b.is_float() && a.dims.ends_with(&b.dims)) else { return Ok(None) };
    let (name, op) = OPS[which % OPS.len()];
    let largest = if name == "multiply" { a.largest * b.largest } else { a.largest + b.largest };
    let value = op(&mut recorder.graph, a.value, b.value)?;
    recorder.keep(value, &format!("{name}({}, {})", a.name, b.name), largest)
}

fn softmax(recorder: &mut Recorder, [x, which, ..]: Picks) -> Recorded {
    let Some(x) = recorder.float(x) else { return Ok(None) };
    if which % 2 == 0 {
        let value = ops::softmax(&mut recorder.graph, x.value)?;
        return recorder.keep(value, &format!("softmax {}", x.name), 1.0);
    }
    let value = ops::log_softmax(&mut recorder.graph, x.value)?;
    recorder.keep(value, &format!("log_softmax {}", x.name), 2.0 * x.largest + 10.0)
}

fn norm(recorder: &mut Recorder, [x, which, weight, residual]: Picks) -> Recorded {
    let Some(x) = recorder.pick(x, |x| x.is_float() && x.rank() > 0) else { return Ok(None) };
    let width = x.dims[x.rank() - 1];
    let largest = (width as f64).sqrt();
    if which % 3 == 0 {
        let value = l2_normalize(&mut recorder.graph, x.value, 1e-3)?;
        return recorder.keep(value, &format!("l2_normalize {}", x.name), 1.0);
    }
    let weight = match recorder.pick(weight, |weight| weight.is_float() && weight.dims == [width]) {
        Some(weight) => weight,
        None => recorder.parameter(&[width]),
    };
    let residual = recorder.pick(residual, |other| other.is_float() && other.dims == x.dims);
    let largest = largest * weight.largest + weight.largest;
    if which % 3 == 1 {
        let value = layer_norm(
            &mut recorder.graph,
            x.value,
            weight.value,
            Some(weight.value),
            &LayerNorm::new(1e-2),
        )?;
        return recorder.keep(
            value,
            &format!("layer_norm({}, weight and bias {})", x.name, weight.name),
            largest,
        );
    }
    let Some(residual) = residual else { return Ok(None) };
    let spec = RmsNorm::new(1e-2).residual(residual.value);
    let value = rms_norm(&mut recorder.graph, x.value, weight.value, &spec)?;
    let what = format!("rms_norm({}, weight {}, residual {})", x.name, weight.name, residual.name);
    recorder.keep(value, &what, largest)
}

fn matmul(recorder: &mut Recorder, [a, b, transposed, _]: Picks) -> Recorded {
    let Some(a) = recorder.pick(a, |a| a.is_float() && a.rank() >= 2) else { return Ok(None) };
    let (leading, inner) = (&a.dims[..a.rank() - 2], a.dims[a.rank() - 1]);
    let transpose = transposed % 2 == 1;
    let suits = |b: &Known| {
        let [.., rows, columns] = b.dims[..] else { return false };
        let fits = if transpose { columns } else { rows } == inner;
        b.is_float() && fits && (b.rank() == 2 || b.dims[..b.rank() - 2] == *leading)
    };
    let Some(b) = recorder.pick(b, suits) else { return Ok(None) };
    let spec = if transpose { Matmul::new().transpose_b() } else { Matmul::new() };
    let largest = inner as f64 * a.largest * b.largest;
    let value = ops::matmul(&mut recorder.graph, a.value, b.value, &spec)?;
    let mark = if transpose { " transposed" } else { "" };
    recorder.keep(value, &format!("matmul({}, {}{mark})", a.name, b.name), largest)
}

fn linear(recorder: &mut Recorder, [x, weight, bias, residual]: Picks) -> Recorded {
    let Some(x) = recorder.pick(x, |x| x.is_float() && x.rank() > 0) else { return Ok(None) };
    let inner = x.dims[x.rank() - 1];
    let suits = |weight: &Known| weight.is_float() && weight.rank() == 2 && weight.dims[1] == inner;
    let Some(weight) = recorder.pick(weight, suits) else { return Ok(None) };
    let mut spec = Linear::new();
    let mut what = format!("linear({}, weight {}", x.name, weight.name);
    let mut largest = inner as f64 * x.largest * weight.largest;
    if bias % 2 == 1
        && let Some(bias) = recorder.pick(bias, |bias| bias.is_float() && bias.dims == [weight.dims[0]])
    {
        spec = spec.bias(bias.value);
        what += &format!(", bias {}", bias.name);
        largest += bias.largest;
    }
    if bias % 3 == 1 {
        spec = spec.activation(ops::Activation::Gelu);
        what += ", gelu";
    }
    let result = [&x.dims[..x.rank() - 1], &weight.dims[..1]].concat();
    if residual % 2 == 1
        && let Some(residual) = recorder.pick(residual, |other| other.is_float() && other.dims == result)
    {
        spec = spec.residual(residual.value);
        what += &format!(", residual {}", residual.name);
        largest += residual.largest;
    }
    let value = ops::linear(&mut recorder.graph, x.value, weight.value, &spec)?;
    recorder.keep(value, &(what + ")"), largest)
}

fn reshape(recorder: &mut Recorder, [x, shape, ..]: Picks) -> Recorded {
    let Some(x) = recorder.float(x) else { return Ok(None) };
    let count = x.elements();
    // The shapes that steps fit together by, where there are as many elements; else something near the shape it has.
    let fitting: Vec<&&[usize]> =
        SHAPES.iter().filter(|dims| dims.iter().product::<usize>() == count).collect();
    let dims = match shape % (3 + fitting.len()) {
        0 => vec![count],
        1 => [&[1], &x.dims[..]].concat(),
        2 if count % 2 == 0 => vec![2, count / 2],
        2 => x.dims.clone(),
        other => fitting[other - 3].to_vec(),
    };
    let value = ops::reshape(&mut recorder.graph, x.value, dims)?;
    recorder.keep(value, &format!("reshape {}", x.name), x.largest)
}

fn transpose(recorder: &mut Recorder, [x, first, second, _]: Picks) -> Recorded {
    let Some(x) = recorder.pick(x, |x| x.is_float() && x.rank() > 0) else { return Ok(None) };
    let mut axes: Vec<usize> = (0..x.rank()).collect();
    axes.swap(first % x.rank(), second % x.rank());
    let value = ops::transpose(&mut recorder.graph, x.value, &axes)?;
    recorder.keep(value, &format!("transpose {} {axes:?}", x.name), x.largest)
}

/// A range along an axis, which may be empty or all of it.
fn cut(dims: &[usize], [axis, start, length]: [usize; 3]) -> (usize, std::ops::Range<usize>) {
    let axis = axis % dims.len();
    let start = start % (dims[axis] + 1);
    (axis, start..start + length % (dims[axis] - start + 1))
}

fn slice(recorder: &mut Recorder, [x, axis, start, length]: Picks) -> Recorded {
    let Some(x) = recorder.pick(x, |x| x.is_float() && x.rank() > 0) else { return Ok(None) };
    let (axis, range) = cut(&x.dims, [axis, start, length]);
    let value = ops::slice(&mut recorder.graph, x.value, axis, range.clone())?;
    recorder.keep(value, &format!("slice {} along {axis}, {range:?}", x.name), x.largest)
}

fn split(recorder: &mut Recorder, [x, axis, at, _]: Picks) -> Recorded {
    let Some(x) = recorder.pick(x, |x| x.is_float() && x.rank() > 0) else { return Ok(None) };
    let (axis, range) = cut(&x.dims, [axis, at, 0]);
    let sizes = [range.start, x.dims[axis] - range.start];
    for value in ops::split(&mut recorder.graph, x.value, axis, &sizes)? {
        recorder.keep(value, &format!("split {} along {axis} into {sizes:?}", x.name), x.largest)?;
    }
    Ok(Some(()))
}

fn concat(recorder: &mut Recorder, [a, b, axis, third]: Picks) -> Recorded {
    let Some(a) = recorder.pick(a, |a| a.is_float() && a.rank() > 0) else { return Ok(None) };
    let axis = axis % a.rank();
    let suits = |b: &Known| {
        let others = |known: &Known| [&known.dims[..axis], &known.dims[axis + 1..]].concat();
        b.is_float() && b.rank() == a.rank() && others(b) == others(&a)
    };
    let Some(b) = recorder.pick(b, suits) else { return Ok(None) };
    let mut parts = vec![a.clone(), b];
    if third % 3 == 0 {
        parts.push(a);
    }
    let values: Vec<Value> = parts.iter().map(|part| part.value).collect();
    let names: Vec<&str> = parts.iter().map(|part| part.name.as_str()).collect();
    let largest = parts.iter().map(|part| part.largest).fold(0.0, f64::max);
    let value = ops::concat(&mut recorder.graph, &values, axis)?;
    recorder.keep(value, &format!("concat({}) along {axis}", names.join(", ")), largest)
}

fn pad(recorder: &mut Recorder, [x, axis, before, behind]: Picks) -> Recorded {
    let Some(x) = recorder.pick(x, |x| x.is_float() && x.rank() > 0) else { return Ok(None) };
    let (axis, before, behind) = (axis % x.rank(), before % 3, behind % 3);
    let extent = before + x.dims[axis] + behind;
    let value = ops::pad(&mut recorder.graph, x.value, axis, before, extent)?;
    recorder.keep(value, &format!("pad {} along {axis}, {before} before, {behind} behind", x.name), x.largest)
}

fn broadcast(recorder: &mut Recorder, [x, times, ..]: Picks) -> Recorded {
    let Some(x) = recorder.pick(x, |x| x.is_float() && x.rank() < 4) else { return Ok(None) };
    let dims = [&[times % 4], &x.dims[..]].concat();
    let value = ops::broadcast(&mut recorder.graph, x.value, dims)?;
    recorder.keep(value, &format!("broadcast {}", x.name), x.largest)
}

fn sum(recorder: &mut Recorder, [x, axes, ..]: Picks) -> Recorded {
    let Some(x) = recorder.float(x) else { return Ok(None) };
    let axes: Vec<usize> = (0..x.rank()).filter(|axis| axes >> axis & 1 == 1).collect();
    let terms: usize = axes.iter().map(|&axis| x.dims[axis]).product();
    let value = ops::sum(&mut recorder.graph, x.value, &axes)?;
    recorder.keep(value, &format!("sum {} over {axes:?}", x.name), terms as f64 * x.largest)
}

fn pool(recorder: &mut Recorder, [x, which, lengths, _]: Picks) -> Recorded {
    let Some(x) = recorder.pick(x, |x| x.is_float() && x.rank() == 3) else { return Ok(None) };
    let (name, mut spec) =
        [("mean", Pool::mean()), ("max", Pool::max()), ("first", Pool::first())][which % 3];
    let mut what = format!("pool {} by {name}", x.name);
    if lengths % 2 == 1 {
        let counts = (0..x.dims[0]).map(|item| (item * 3 % 5) as i32).collect();
        let lengths = recorder.tensor(HostTensor::i32([x.dims[0]], counts)?, 5.0);
        spec = spec.lengths(lengths.value);
        what += &format!(", lengths {}", lengths.name);
    }
    let value = ops::pool(&mut recorder.graph, x.value, &spec)?;
    recorder.keep(value, &what, x.largest)
}

fn embedding(recorder: &mut Recorder, [table, ids, ..]: Picks) -> Recorded {
    let Some(table) = recorder.pick(table, |table| table.is_float() && table.rank() == 2) else {
        return Ok(None);
    };
    // Some twice, and one that no table has.
    let numbers = [[0, 1, 1, 3, -1, 5], [2, 2, 2, 0, 4, 100]][ids % 2].to_vec();
    let ids = recorder.tensor(HostTensor::i32([6], numbers)?, 100.0);
    let value = ops::embedding(&mut recorder.graph, &[(table.value, ids.value)])?;
    recorder.keep(value, &format!("embedding({}, ids {})", table.name, ids.name), table.largest)
}

fn dropout(recorder: &mut Recorder, [x, stream, ..]: Picks) -> Recorded {
    let Some(x) = recorder.float(x) else { return Ok(None) };
    let step = recorder.tensor(HostTensor::u32([1], vec![3])?, 3.0);
    let spec = Dropout { rate: 0.25, seed: 5, stream: stream as u32 };
    let value = ops::dropout(&mut recorder.graph, x.value, &spec, step.value)?;
    recorder.keep(value, &format!("dropout {}, stream {stream}", x.name), x.largest / 0.75)
}

fn attention(recorder: &mut Recorder, [query, key, value, mask]: Picks) -> Recorded {
    let Some(query) = recorder.pick(query, |x| x.is_float() && x.rank() == 4) else { return Ok(None) };
    let [batch, _, heads, size] = query.dims[..] else { return Ok(None) };
    let suits = |key: &Known| {
        key.is_float() && key.rank() == 4 && key.dims[0] == batch && key.dims[2..] == [heads, size]
    };
    let Some(key) = recorder.pick(key, suits) else { return Ok(None) };
    let Some(value) = recorder.pick(value, |x| x.is_float() && x.dims == key.dims) else { return Ok(None) };
    let mask = match mask % 4 {
        0 => Mask::full(),
        1 => Mask::causal(),
        2 => Mask::window(2, 1),
        _ => Mask::prefix(2) | Mask::block_diagonal(2),
    };
    let what = format!("attention({}, {}, {}), {mask}", query.name, key.name, value.name);
    let spec = Blocked::new().mask(mask);
    let out = blocked(&mut recorder.graph, query.value, key.value, value.value, &spec)?;
    recorder.keep(out, &what, value.largest)
}

/// Through f16 and back.
fn half(recorder: &mut Recorder, [x, ..]: Picks) -> Recorded {
    let Some(x) = recorder.pick(x, |x| x.is_float() && x.largest < 1e3) else { return Ok(None) };
    let narrow = ops::cast(&mut recorder.graph, x.value, DType::F16)?;
    let narrow = ops::scale(&mut recorder.graph, narrow, 0.5)?;
    let value = ops::cast(&mut recorder.graph, narrow, DType::F32)?;
    recorder.keep(value, &format!("half of {} in f16", x.name), x.largest)
}

/// Gradients of the sum of a value with respect to two others that it depends on.
fn gradients(recorder: &mut Recorder, [loss, wrt, ..]: Picks) -> Recorded {
    let Some(of) = recorder.pick(loss, |x| x.is_float() && x.is_computed) else { return Ok(None) };
    if recorder.in_segment {
        return Ok(None);
    }
    let axes: Vec<usize> = (0..of.rank()).collect();
    let sum = ops::sum(&mut recorder.graph, of.value, &axes)?;
    let loss = ops::reshape(&mut recorder.graph, sum, [1])?;
    let mut found = 0;
    for pick in wrt..wrt + 12 {
        let Some(wrt) = recorder.float(pick) else { continue };
        // Refused where the loss does not depend on it, or by an op without gradients.
        if found < 2
            && let Ok(gradients) = recorder.graph.gradients(loss, &[wrt.value])
        {
            found += 1;
            // How large it is nobody knows; further products of it are few.
            recorder.keep(gradients[0], &format!("gradient of sum {} by {}", of.name, wrt.name), 100.0)?;
        }
    }
    Ok((found > 0).then_some(()))
}

fn reversible(recorder: &mut Recorder, [x1, x2, which, _]: Picks) -> Recorded {
    let Some(x1) = recorder.float(x1) else { return Ok(None) };
    let Some(x2) = recorder.pick(x2, |x2| x2.is_float() && x2.dims == x1.dims) else { return Ok(None) };
    if recorder.in_segment {
        return Ok(None);
    }
    let f: Unary = [ops::tanh, ops::gelu, ops::sigmoid][which % 3];
    let [y1, y2] = Reversible::new(f, ops::silu).record(&mut recorder.graph, [x1.value, x2.value])?;
    let what = format!("reversible({}, {})", x1.name, x2.name);
    let largest = 2.0 * x1.largest + 2.0 * x2.largest + 2.0;
    recorder.keep(y1, &what, largest)?;
    recorder.keep(y2, &what, largest)
}

/// Steps once more, with another value in the place of one.
fn replay(recorder: &mut Recorder, [start, length, original, substitute]: Picks) -> Recorded {
    let Some(original) = recorder.float(original) else { return Ok(None) };
    let suits = |other: &Known| other.is_float() && other.dims == original.dims;
    let Some(substitute) = recorder.pick(substitute, suits) else { return Ok(None) };
    let steps = recorder.graph.steps().len();
    let start = start % (steps + 1);
    let range = start..start + (length % 6).min(steps - start);
    let made: Vec<Value> =
        recorder.graph.steps()[range.clone()].iter().flat_map(|step| step.outputs().to_vec()).collect();
    let replay = recorder.graph.replay(range.clone(), &[(original.value, substitute.value)])?;
    let what = format!("replay of steps {range:?} with {} for {}", substitute.name, original.name);
    let known: Vec<Known> =
        recorder.pool.iter().filter(|known| made.contains(&known.value)).cloned().collect();
    for known in known {
        // As large as the original, or larger by what the substitute is larger.
        let largest = known.largest * (substitute.largest / original.largest).max(1.0).powi(4);
        let value = replay.value(known.value);
        recorder.keep(value, &format!("{what}: {}", known.name), largest)?;
    }
    Ok(Some(()))
}

fn output(recorder: &mut Recorder, [value, ..]: Picks) -> Recorded {
    let Some(known) = recorder.pick(value, |_| true) else { return Ok(None) };
    recorder.output(&known);
    Ok(Some(()))
}
