//! Mechanisms: layers, attention rules and ops of this crate against cases of `mechanisms/`.
//!
//! A mechanism is read where the crate has it: as an op, a layer, or a rule of attention. One that it has not is missing, even where ops
//! could be put together to it.

use std::path::Path;

use foveate::nn::{AdaptiveEmbedding, AdaptiveSoftmax, Clusters};
use foveate::ops::attention::{BlockLayout, Blocked, Mask, Score, blocked, blocked_with_lse};
use foveate::ops::{self, Activation, Gate, Linear, Pool, Windows};
use foveate::weights::Declarations;
use foveate::{DType, HostTensor, Value};

use crate::case::{self, Case, Record};
use crate::compare::Rows;
use crate::file::{File, numbers};
use crate::{Found, Result, content, conv, heads, is_safetensors, linear, low_rank, speech};

/// A kind of mechanism that the crate has.
pub(crate) struct Row {
    /// The `mechanism` of its specs, where `#` stands for a number that shapes say, too.
    mechanism: &'static str,
    record: Record,
    other: Option<Record>,
}

pub(crate) const fn row(mechanism: &'static str, record: Record) -> Row {
    Row { mechanism, record, other: None }
}

impl Row {
    /// Another way to compute the same, which is held to the file by itself.
    pub(crate) const fn and(self, other: Record) -> Self {
        Self { other: Some(other), ..self }
    }
}

const ROWS: &[Row] = &[
    row("Conformer relative self-attention", conformer_attention),
    row("Funnel pooling", funnel_pooling),
    row("GLU", glu),
    row("adaptive embedding (Transformer-XL)", adaptive_embedding),
    row("adaptive softmax (Transformer-XL)", adaptive_softmax),
    row("local chunked attention", local_attention),
    row("pooling over time", pooling),
    row("strided (segment) mean with lengths", segment_mean),
];

/// The test of the file at `path`, if a row reads it.
pub(crate) fn find(path: &Path) -> Result<Found> {
    if !is_safetensors(path) {
        return Ok(Found::Missing);
    }
    let spec = File::open(path)?.spec;
    let mechanism = spec.text("mechanism")?;
    let mut rows = [ROWS, content::ROWS, conv::ROWS, heads::ROWS, linear::ROWS, low_rank::ROWS, speech::ROWS]
        .into_iter()
        .flatten();
    if let Some(row) = rows.find(|row| numbers(row.mechanism, mechanism).is_some()) {
        let (path, record, other) = (path.to_owned(), row.record, row.other);
        return Ok(Found::test(move || {
            let file = File::open(&path)?;
            file.spec.text("mechanism")?;
            let report = case::check(&file, record)?;
            match other {
                Some(other) => Ok(report.and(case::check(&file, other)?)),
                None => Ok(report),
            }
        }));
    }
    Ok(Found::Missing)
}

/// The vocabulary of a case, and its weights under the names that layers declare.
fn clusters(case: &mut Case<'_>) -> Result<Clusters> {
    let spec = &case.file.spec;
    let [vocab_size, width, embedding, divisor] =
        ["vocabulary", "d_proj", "d_embed", "div_val"].map(|key| spec.count(key).map(|count| count as usize));
    let cutoffs = spec.find("cutoffs").and_then(|list| list.as_array()).ok_or("no `cutoffs`")?;
    let cutoffs: Option<Vec<usize>> = cutoffs.iter().map(|id| Some(id.as_u64()? as usize)).collect();
    let cutoffs = cutoffs.ok_or("`cutoffs` are no ids")?;
    for name in spec.texts("inputs")?.into_iter().filter(|&name| name != "x") {
        case.weight(name, name)?;
    }
    Ok(Clusters { vocab_size: vocab_size?, cutoffs, width: width?, embedding: embedding?, divisor: divisor? })
}

fn adaptive_embedding(case: &mut Case<'_>) -> Result<()> {
    let clusters = clusters(case)?;
    let layer = AdaptiveEmbedding::declare(&mut Declarations::new().root(), &clusters)?;
    let ids = case.input("ids")?;
    let out = layer.record(&mut case.recording.graph, ids, DType::F32)?;
    case.output("out", out)
}

/// `nll` is minus the log-probability of each target.
fn adaptive_softmax(case: &mut Case<'_>) -> Result<()> {
    let clusters = clusters(case)?;
    let layer = AdaptiveSoftmax::declare(&mut Declarations::new().root(), &clusters, None)?;
    let [x, targets] = case.inputs(["x", "targets"])?;
    let shape: [usize; 2] = case.dims(targets)?[..].try_into()?;
    let graph = &mut case.recording.graph;
    let log_prob = layer.record(graph, x)?;
    let chosen = ops::one_hot(graph, targets, clusters.vocab_size)?;
    let chosen = ops::multiply(graph, log_prob, chosen)?;
    let nll = ops::sum(graph, chosen, &[2])?;
    let nll = ops::scale(graph, nll, -1.0)?;
    let nll = ops::reshape(graph, nll, shape)?;
    let total = case.recording.total(nll)?;
    let graph = &mut case.recording.graph;
    let mean = ops::scale(graph, total, 1.0 / (shape[0] * shape[1]) as f32)?;
    let mean = ops::reshape(graph, mean, [1])?;
    case.output("log_prob", log_prob)?;
    case.output("nll", nll)?;
    case.output("loss_mean", mean)
}

fn glu(case: &mut Case<'_>) -> Result<()> {
    let x = case.input("x")?;
    let y = ops::gated(&mut case.recording.graph, x, Gate::Second, Activation::Sigmoid)?;
    case.output("out", y)
}

fn pool_of(case: &Case<'_>) -> Result<Pool> {
    match case.file.spec.text("mode")? {
        "mean" => Ok(Pool::mean()),
        "max" => Ok(Pool::max()),
        other => Err(format!("mode `{other}` is none that this test knows").into()),
    }
}

fn pooling(case: &mut Case<'_>) -> Result<()> {
    let spec = &case.file.spec;
    let (size, stride) = (spec.count("kernel")? as usize, spec.count("stride")? as usize);
    let mut windows = match spec.text("mode")? {
        "mean" => Windows::mean(size),
        "max" => Windows::max(size),
        other => return Err(format!("mode `{other}` is none that this test knows").into()),
    }
    .stride(stride);
    if spec.bool("ceil_mode")? {
        windows = windows.take_rest();
    }
    let x = case.input("x")?;
    let y = ops::pool_windows(&mut case.recording.graph, x, &windows)?;
    case.output("out", y)
}

/// Each `size` positions of `x: [batch, time, width]` pooled, the first `count` times.
fn pool_segments(case: &mut Case<'_>, x: Value, pool: Pool, size: usize, count: usize) -> Result<Value> {
    let dims = case.dims(x)?;
    let ids = (0..dims[0]).flat_map(|_| (0..dims[1]).map(|t| (t / size) as i32)).collect();
    let ids = case.made("segments", HostTensor::i32([dims[0], dims[1]], ids)?)?;
    Ok(ops::pool(&mut case.recording.graph, x, &pool.segments(ids, count))?)
}

fn segment_mean(case: &mut Case<'_>) -> Result<()> {
    let size = case.file.spec.count("segment")? as usize;
    let lengths = case.file.tensors.get("length")?.to_f64();
    let x = case.input("x")?;
    let dims = case.dims(x)?;
    // Positions behind an item's length are of no segment.
    let id = |t: usize, length: f64| if (t as f64) < length { (t / size) as i32 } else { i32::MAX };
    let ids = lengths.iter().flat_map(|&length| (0..dims[1]).map(move |t| id(t, length))).collect();
    let ids = case.made("segments", HostTensor::i32([dims[0], dims[1]], ids)?)?;
    let pool = Pool::mean().segments(ids, dims[1].div_ceil(size));
    let y = ops::pool(&mut case.recording.graph, x, &pool)?;
    case.output("out", y)
}

/// The first token once more in front, the last dropped, and pairs pooled.
fn funnel_pooling(case: &mut Case<'_>) -> Result<()> {
    let pool = pool_of(case)?;
    let [is_separate, is_truncated] = ["separate_cls", "truncate_seq"].map(|key| case.file.spec.bool(key));
    let (is_separate, is_truncated) = (is_separate?, is_truncated?);
    let mut x = case.input("x")?;
    let time = case.dims(x)?[1];
    if is_separate {
        if !is_truncated {
            return Err("this test knows a separate first token only with `truncate_seq`".into());
        }
        let graph = &mut case.recording.graph;
        let (first, rest) = (ops::slice(graph, x, 1, 0..1)?, ops::slice(graph, x, 1, 0..time - 1)?);
        x = ops::concat(graph, &[first, rest], 1)?;
    }
    let y = pool_segments(case, x, pool, 2, time.div_ceil(2))?;
    case.output("out", y)
}

fn local_attention(case: &mut Case<'_>) -> Result<()> {
    let spec = &case.file.spec;
    let [chunk, before, after] = ["chunk", "chunks_before", "chunks_after"].map(|key| spec.count(key));
    let (chunk, before, after) = (chunk?, i64::from(before?), i64::from(after?));
    let is_causal = spec.bool("causal")?;
    let wraps = match spec.text("view")? {
        view if view.contains("modulo the number of chunks") => true,
        view if view.contains("chunks outside the sequence do not exist") => false,
        view => return Err(format!("this test does not know the view `{view}`").into()),
    };
    let is_padded = match spec.text("mask")? {
        "" | "j <= i; " => false,
        "j < length[b]; rows >= length are not to be compared, d_out is 0 there" => true,
        mask => return Err(format!("this test does not know the mask `{mask}`").into()),
    };
    let scale = spec.number("scale")?;
    let [q, k, v] = case.inputs(["q", "k", "v"])?;
    let time = case.dims(q)?[1];
    let chunks = time.div_ceil(chunk as usize) as i64;
    let meets = |query: i64, key: i64| {
        let apart = |key: i64| (-before..=after).contains(&(key - query));
        apart(key) || wraps && (apart(key - chunks) || apart(key + chunks))
    };
    let pairs = (0..chunks).flat_map(|query| (0..chunks).map(move |key| meets(query, key))).collect();
    let mut mask = Mask::blocks(BlockLayout::new(chunk, [1, chunks as usize, chunks as usize], pairs)?);
    if is_causal {
        mask = mask & Mask::causal();
    }
    let mut rows = [Rows::All, Rows::All];
    if is_padded {
        let lengths = case.input("length")?;
        mask = mask & Mask::lengths(lengths);
        rows = [1, 2]
            .map(|axis| case.file.tensors.get("length").map(|lengths| Rows::below(lengths, time, axis)))
            .into_iter()
            .collect::<Result<Vec<_>>>()?
            .try_into()
            .map_err(|_| "two outputs")?;
    }
    let attention = Blocked::new().mask(mask).scale(scale);
    let (out, lse) = blocked_with_lse(&mut case.recording.graph, q, k, v, &attention)?;
    let [of_out, of_lse] = rows;
    case.output_rows("out", out, of_out)?;
    case.output_rows("lse", lse, of_lse)
}

/// `position: [2 time - 1, width]` begins with the greatest distance, and [`Score::relative_keys`] with the least.
fn conformer_attention(case: &mut Case<'_>) -> Result<()> {
    let heads = case.file.spec.count("heads")? as usize;
    let x = case.input("x")?;
    let [batch, time, width] = case.dims(x)?[..].try_into()?;
    let split: [usize; 4] = [batch, time, heads, width / heads];
    let mut projected = [x; 3];
    for (value, name) in projected.iter_mut().zip(["linear_q", "linear_k", "linear_v"]) {
        let y = dense(case, x, name, true)?;
        *value = ops::reshape(&mut case.recording.graph, y, split)?;
    }
    let position = case.input("position")?;
    let keys = dense(case, position, "linear_pos", false)?;
    let [u, w] = case.inputs(["pos_bias_u", "pos_bias_v"])?;
    let graph = &mut case.recording.graph;
    let keys = ops::flip(graph, keys, &[0])?;
    let keys = ops::reshape(graph, keys, [2 * time - 1, heads, width / heads])?;
    let score = Score::relative_keys(keys, Some(u), Some(w), time as u32 - 1);
    let [q, k, v] = projected;
    let gathered = blocked(graph, q, k, v, &Blocked::new().score(score))?;
    let joined = ops::reshape(graph, gathered, [batch, time, width])?;
    let out = dense(case, joined, "linear_out", true)?;
    case.output("out", out)
}

/// A dense layer whose weight and bias the file has under `name`.
fn dense(case: &mut Case<'_>, x: Value, name: &str, has_bias: bool) -> Result<Value> {
    let weight = case.input(&format!("{name}.weight"))?;
    let mut layer = Linear::new();
    if has_bias {
        layer = layer.bias(case.input(&format!("{name}.bias"))?);
    }
    Ok(ops::linear(&mut case.recording.graph, x, weight, &layer)?)
}
