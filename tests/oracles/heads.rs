//! What heads make of one another and of the layers before, persistent memory, shortened memory, sets and clusters: rows of the table of
//! `mechanisms.rs`.

use foveate::nn::{InducedSetAttention, MultiheadAttentionBlock, SetAttentionNames, SetPooling};
use foveate::ops;
use foveate::ops::attention::{
    Blocked, Clustered, Compression, Mask, MemoryCompressed, PreviousScores, TalkingHeads, blocked,
    clustered, head_similarity, memory_compressed, persistent_memory, position_similarity,
    residual_attention, route_heads, talking_heads,
};
use foveate::weights::Declarations;

use crate::Result;
use crate::case::Case;
use crate::mechanisms::{Row, row};

pub(crate) const ROWS: &[Row] = &[
    row("RealFormer residual scores (2012.11747), # layers", realformer),
    row("Set Transformer (1810.00825) ISAB(X) = MAB1(X, MAB0(I, X)); I is `inducing` [m, dim_V]", induced),
    row("Set Transformer (1810.00825) MAB", block),
    row(
        "Set Transformer (1810.00825) PMA(X) = MAB(S, X); S is `seeds` [k, dim_V]. The paper has MAB(S, rFF(X)); the official code leaves rFF out",
        pooling,
    ),
    row("Set Transformer (1810.00825) SAB(X) = MAB(X, X)", block),
    row("all-attention, persistent key/value vectors (1907.01470)", persistent),
    row("clustered attention (2007.04825)", by_cluster),
    row("disagreement regularisers (1810.10183)", disagreement),
    row(
        "dynamic routing of head outputs into capsules: the routing of 1710.09829, which 1904.03100 and 1909.00188 build on",
        routing,
    ),
    row("improved clustered attention (2007.04825 eq. 10-11)", by_cluster),
    row("memory-compressed attention (1801.10198)", compressed),
    row("talking-heads attention (2003.02436)", talking),
    row(
        "talking-heads attention with h_k = # score heads, h = # softmax heads, h_v = # value heads",
        talking,
    ),
];

/// Causal where the spec says so.
fn attention(case: &Case<'_>) -> Result<Blocked> {
    let spec = Blocked::new().scale(case.file.spec.number("scale")?);
    Ok(if case.file.spec.bool("causal")? { spec.mask(Mask::causal()) } else { spec })
}

/// Persistent keys and values `[heads, count, channels]`, which every query sees.
fn persistent(case: &mut Case<'_>) -> Result<()> {
    let spec = attention(case)?;
    let [q, k, v] = case.inputs(["q", "k", "v"])?;
    let persistent = case.inputs(["persistent_k", "persistent_v"])?;
    let out = persistent_memory(&mut case.recording.graph, q, k, v, persistent, &spec)?;
    case.output("out", out)
}

fn realformer(case: &mut Case<'_>) -> Result<()> {
    let spec = attention(case)?;
    let qkv = case.inputs(["q", "k", "v"])?;
    let layers = case.dims(qkv[0])?[0];
    let graph = &mut case.recording.graph;
    let (mut outs, mut previous) = (Vec::new(), PreviousScores::none());
    for layer in 0..layers {
        let mut own = qkv;
        for value in &mut own {
            let dims = graph.desc(*value)?.shape.dims()[1..].to_vec();
            let sliced = ops::slice(graph, *value, 0, layer..layer + 1)?;
            *value = ops::reshape(graph, sliced, dims)?;
        }
        let [q, k, v] = own;
        let (out, next) = residual_attention(graph, q, k, v, &previous, &spec)?;
        previous = next;
        let dims = [&[1], graph.desc(out)?.shape.dims()].concat();
        outs.push(ops::reshape(graph, out, dims)?);
    }
    let out = ops::concat(graph, &outs, 0)?;
    case.output("out", out)
}

/// Heads of scores, of the softmax and of values are as the shapes of `pre` and `post` say. Both ways to compute it are compared.
fn talking(case: &mut Case<'_>) -> Result<()> {
    let mut spec = TalkingHeads::new().scale(case.file.spec.number("scale")?);
    if case.file.spec.bool("causal")? {
        spec = spec.causal();
    }
    let [q, k, v] = case.inputs(["q", "k", "v"])?;
    let mixing = case.inputs(["pre", "post"])?;
    let graph = &mut case.recording.graph;
    let out = talking_heads(graph, q, k, v, mixing, &spec)?;
    let stored = talking_heads(graph, q, k, v, mixing, &spec.storing_scores())?;
    case.output_again("stored", "out", stored)?;
    let graph = &mut case.recording.graph;
    let both = ops::add(graph, out, stored)?;
    let out = ops::scale(graph, both, 0.5)?;
    case.output("out", out)
}

fn compressed(case: &mut Case<'_>) -> Result<()> {
    let mut spec = MemoryCompressed::new().scale(case.file.spec.number("scale")?);
    if case.file.spec.bool("causal")? {
        spec = spec.causal();
    }
    let ratio = case.file.spec.count("r0")? as usize;
    let [q, k, v] = case.inputs(["q", "k", "v"])?;
    let names = case.file.spec.texts("inputs")?;
    let mut pair = |weight: &str, bias: &str| -> Result<Compression> {
        Ok(Compression { weight: case.input(weight)?, bias: case.input(bias)? })
    };
    let compressions = match names.contains(&"weight") {
        true => [pair("weight", "bias")?; 2],
        false => [pair("weight_k", "bias_k")?, pair("weight_v", "bias_v")?],
    };
    if case.dims(compressions[0].weight)?[3] != ratio {
        return Err("the kernel is not r0".into());
    }
    if names.contains(&"null_k") {
        let [key, value] = case.inputs(["null_k", "null_v"])?;
        spec = spec.null(key, value);
    }
    let out = memory_compressed(&mut case.recording.graph, q, k, v, compressions, &spec)?;
    case.output("out", out)
}

/// Improved where the file has keys of largest scores.
fn by_cluster(case: &mut Case<'_>) -> Result<()> {
    let count = case.file.spec.count("clusters")? as usize;
    let mut spec = Clustered::new(count).scale(case.file.spec.number("scale")?);
    let [q, k, v] = case.inputs(["q", "k", "v"])?;
    let clusters = case.input("clusters")?;
    if case.file.tensors.find("length").is_some() {
        spec = spec.lengths(case.input("length")?);
    }
    if case.file.tensors.find("top").is_some() {
        let top = case.input("top")?;
        if case.dims(top)?[3] != case.file.spec.count("topk")? as usize {
            return Err("`top` are not topk".into());
        }
        // The row of the empty cluster is unused, so that the largest weights that are found are those of the file.
        let given = clustered(&mut case.recording.graph, q, k, v, clusters, &spec.improved_over(top))?;
        let top = case.file.spec.count("topk")? as usize;
        let found = clustered(&mut case.recording.graph, q, k, v, clusters, &spec.improved(top))?;
        case.output_again("found", "out", found)?;
        let both = ops::add(&mut case.recording.graph, given, found)?;
        let out = ops::scale(&mut case.recording.graph, both, 0.5)?;
        return case.output("out", out);
    }
    let out = clustered(&mut case.recording.graph, q, k, v, clusters, &spec)?;
    case.output("out", out)
}

fn disagreement(case: &mut Case<'_>) -> Result<()> {
    let spec = attention(case)?;
    let scale = case.file.spec.number("scale")?;
    let [q, k, v] = case.inputs(["q", "k", "v"])?;
    let graph = &mut case.recording.graph;
    let out = blocked(graph, q, k, v, &spec)?;
    let subspace = head_similarity(graph, v, None)?;
    let is_causal = case.file.spec.bool("causal")?;
    let position = position_similarity(graph, q, k, is_causal, Some(scale), None)?;
    let output = head_similarity(graph, out, None)?;
    for (name, value) in [("out", out), ("subspace", subspace), ("position", position), ("output", output)] {
        case.output(name, value)?;
    }
    Ok(())
}

fn routing(case: &mut Case<'_>) -> Result<()> {
    let iterations = case.file.spec.count("iterations")? as usize;
    let [heads, weight] = case.inputs(["o", "weight"])?;
    let out = route_heads(&mut case.recording.graph, heads, weight, iterations)?;
    case.output("out", out)
}

const NAMES: SetAttentionNames =
    SetAttentionNames { query: "q", key: "k", value: "v", output: "o", norms: Some(["ln0", "ln1"]) };

/// Weights under the names that layers declare.
fn set_weights(case: &mut Case<'_>) -> Result<(usize, SetAttentionNames)> {
    let heads = case.file.spec.count("heads")? as usize;
    let width = case.file.tensors.get("out")?.shape().dims()[2];
    if (case.file.spec.number("scale")? - (width as f32).powf(-0.5)).abs() > 1e-6 {
        return Err("scores are scaled by 1 / sqrt(width)".into());
    }
    let norms = NAMES.norms.filter(|_| case.file.spec.find("layer_norm").is_some_and(|norm| norm == true));
    for name in case.file.spec.texts("inputs")? {
        let Some((layer, part)) = name.rsplit_once('_') else { continue };
        let path = match layer.split_once('_') {
            Some((block, layer)) => format!("{block}.{layer}.{part}"),
            None => format!("{layer}.{part}"),
        };
        case.weight(&path, name)?;
    }
    Ok((heads, SetAttentionNames { norms, ..NAMES }))
}

/// Of one set, or of two.
fn block(case: &mut Case<'_>) -> Result<()> {
    let (heads, names) = set_weights(case)?;
    let x = case.input("x")?;
    let y = if case.file.spec.texts("inputs")?.contains(&"y") { case.input("y")? } else { x };
    let [of_x, of_y, width] =
        [case.dims(x)?[2], case.dims(y)?[2], case.file.tensors.get("out")?.shape().dims()[2]];
    let mut declarations = Declarations::new();
    let layer =
        MultiheadAttentionBlock::declare(&mut declarations.root(), &names, [of_x, of_y, width], heads)?;
    let out = layer.record(&mut case.recording.graph, x, y, None)?;
    case.output("out", out)
}

fn induced(case: &mut Case<'_>) -> Result<()> {
    let (heads, names) = set_weights(case)?;
    case.weight("inducing", "inducing")?;
    let x = case.input("x")?;
    let inner = case.dims(x)?[2];
    let &[points, width] = case.file.tensors.get("inducing")?.shape().dims() else {
        return Err("`inducing` is not [points, width]".into());
    };
    let mut declarations = Declarations::new();
    let parts = ["inducing", "m0", "m1"];
    let layer =
        InducedSetAttention::declare(&mut declarations.root(), parts, &names, [inner, width], points, heads)?;
    let out = layer.record(&mut case.recording.graph, x, None)?;
    case.output("out", out)
}

fn pooling(case: &mut Case<'_>) -> Result<()> {
    let (heads, names) = set_weights(case)?;
    case.weight("seeds", "seeds")?;
    let x = case.input("x")?;
    let &[seeds, width] = case.file.tensors.get("seeds")?.shape().dims() else {
        return Err("`seeds` is not [seeds, width]".into());
    };
    let mut declarations = Declarations::new();
    let layer = SetPooling::declare(&mut declarations.root(), "seeds", None, &names, width, seeds, heads)?;
    let out = layer.record(&mut case.recording.graph, x, None)?;
    case.output("out", out)
}
