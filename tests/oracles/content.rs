//! Attention chosen by content: the highest scores, sparse weights, sorted blocks: rows of the table of `mechanisms.rs`.

use foveate::nn::{AxialPositions, Layout, Recorder, RoutingAttention, RoutingSettings};
use foveate::ops;
use foveate::ops::attention::{
    Lsh, LshAttended, LshConvention, Routing, Scored, Simplex, Sinkhorn, attention_over, balanced_clusters,
    commitment_loss, lsh_attention, lsh_buckets, moved_centroids, nearest_centroids, routing_attention,
    sinkhorn, sinkhorn_sorted, sparse_attention, top_k_attention,
};
use foveate::weights::Declarations;
use foveate::{DType, HostTensor, TensorDesc};

use crate::Result;
use crate::case::Case;
use crate::compare::{Bound, OF_LARGEST, Rows};
use crate::mechanisms::{Row, row};

pub(crate) const ROWS: &[Row] = &[
    row("1.5-entmax attention", sparse),
    row("LSH attention", lsh_given).and(lsh_found),
    row("Sinkhorn attention, given block permutation", sorted_blocks),
    row("Sinkhorn attention, soft", soft_sinkhorn),
    row("axial position embeddings (Reformer)", axial),
    row("exact top-k attention", top_given).and(top_found),
    row("routing attention", routing),
    row("routing layer: causal local heads beside causal routed heads", routing_layer),
    row("sparsemax attention", sparse),
];

/// Causal, and with lengths, where the file is.
fn scored(case: &mut Case<'_>) -> Result<Scored> {
    let mut spec = Scored::new().scale(case.file.spec.number("scale")?);
    if case.file.spec.bool("causal")? {
        spec = spec.causal();
    }
    if case.file.tensors.find("length").is_some() {
        spec = spec.lengths(case.input("length")?);
    }
    Ok(spec)
}

/// Over the keys that the file has.
fn top_given(case: &mut Case<'_>) -> Result<()> {
    scored(case)?;
    case.file.spec.count("k")?;
    let scale = case.file.spec.number("scale")?;
    let [q, key, v] = case.inputs(["q", "k", "v"])?;
    let keys = case.input("indices")?;
    let (out, lse) = attention_over(&mut case.recording.graph, q, key, v, keys, Some(scale))?;
    case.output("out", out)?;
    case.output("lse", lse)
}

/// Over those that are found.
fn top_found(case: &mut Case<'_>) -> Result<()> {
    let spec = scored(case)?;
    let k = case.file.spec.count("k")? as usize;
    let [q, key, v] = case.inputs(["q", "k", "v"])?;
    let found = top_k_attention(&mut case.recording.graph, q, key, v, k, &spec)?;
    case.output("out", found.out)?;
    case.output("lse", found.lse)
}

fn sparse(case: &mut Case<'_>) -> Result<()> {
    let spec = scored(case)?;
    let simplex = match case.file.spec.text("mechanism")? {
        "sparsemax attention" => Simplex::Sparsemax,
        _ => Simplex::Entmax15,
    };
    let [q, k, v] = case.inputs(["q", "k", "v"])?;
    let graph = &mut case.recording.graph;
    let attended = sparse_attention(graph, q, k, v, simplex, &spec)?;
    let zero = ops::fill(graph, TensorDesc::f32([1]), 0.0)?;
    let weighs = ops::greater(graph, attended.weights, zero)?;
    let weighs = ops::cast(graph, weighs, DType::F32)?;
    let support = ops::sum(graph, weighs, &[3])?;
    let shape = case.file.tensors.get("support")?.shape().clone();
    let support = ops::reshape(&mut case.recording.graph, support, shape)?;
    case.output("out", attended.out)?;
    case.output_rows("support", support, Rows::All)
}

fn soft_sinkhorn(case: &mut Case<'_>) -> Result<()> {
    let spec = &case.file.spec;
    let settings = Sinkhorn::new(spec.count("block")? as usize)
        .temperature(spec.number("temperature")?)
        .iterations(spec.count("iterations")? as usize)
        .scale(spec.number("scale")?);
    let [q, k, v] = case.inputs(["q", "k", "v"])?;
    let gumbel = case.input("gumbel")?;
    let attended = sinkhorn(&mut case.recording.graph, q, k, v, Some(gumbel), &settings)?;
    case.output("permutation", attended.permutation)?;
    case.output("out", attended.out)
}

/// Magnitudes of log-sum-exps from here on are those of tokens that see themselves alone.
const ALONE: f32 = -1e3;

/// What the texts of a spec say that settings of the crate stand for.
fn lsh_settings(case: &mut Case<'_>) -> Result<Lsh> {
    let spec = &case.file.spec;
    spec.pass_over(&["hash", "buckets", "order", "merge", "head_dim", "hash_margin", "padded_rows"]);
    let chunk = spec.count("chunk")? as usize;
    let (before, after) = (spec.count("chunks_before")? as usize, spec.count("chunks_after")? as usize);
    let of_size = 1.0 / (*case.file.tensors.get("qk")?.shape().dims().last().unwrap_or(&1) as f32).sqrt();
    let (convention, key, scale, self_value) = match spec.text("convention")? {
        "hf" => (LshConvention::HuggingFace, "k = q / sqrt(mean(q^2) + 1e-6) / sqrt(D)", 1.0, -1e5),
        "lucidrains" => (LshConvention::Paper, "k = q / max(|q|_2, 1e-12)", of_size, -5e4),
        "stop" => (LshConvention::Stop, "k = q / sqrt(mean(q^2) + 1e-6) / sqrt(D)", 1.0, -1e5),
        other => return Err(format!("convention `{other}` is none that this test knows").into()),
    };
    let is_scale = (spec.number("scale")? - scale).abs() < 1e-6;
    if spec.text("key")? != key || !is_scale || spec.number("self_value")? != self_value {
        return Err("keys, scale or the score of a token with itself are not the convention's".into());
    }
    let mut settings = Lsh::new(chunk).around(before, after).convention(convention);
    if let Some(view) = spec.find("view").and_then(|view| view.as_str()) {
        if view.contains("inside its own round only") != (convention == LshConvention::Stop) {
            return Err(format!("this test does not know the view `{view}`").into());
        }
        settings = settings.padded_to(spec.count("padded_length")? as usize);
        if spec.text("duplicates")?.starts_with("scores lowered by ln N_ij") {
            settings = settings.deduplicated();
        }
    }
    if spec.text("mask")?.contains("same bucket") {
        settings = settings.same_bucket();
    }
    if spec.bool("causal")? {
        settings = settings.causal();
    }
    if case.file.tensors.find("length").is_some() {
        settings = settings.lengths(case.input("length")?);
    }
    Ok(settings)
}

/// With the buckets that the file has.
fn lsh_given(case: &mut Case<'_>) -> Result<()> {
    lsh(case, true)
}

/// With those that are found.
fn lsh_found(case: &mut Case<'_>) -> Result<()> {
    lsh(case, false)
}

fn lsh(case: &mut Case<'_>, is_given: bool) -> Result<()> {
    let settings = lsh_settings(case)?;
    let rounds = case.file.spec.count("n_hashes")? as usize;
    let [qk, v] = case.inputs(["qk", "v"])?;
    let time = case.dims(qk)?[1];
    if !settings.hashes(time) {
        let attended = lsh_attention(&mut case.recording.graph, qk, v, None, &settings)?;
        return lsh_outputs(case, &attended);
    }
    let rotations = case.input("rotations")?;
    if case.dims(rotations)?[2] != rounds {
        return Err("`rotations` are not those of n_hashes rounds".into());
    }
    let factors = case.file.spec.find("bucket_factors").and_then(|list| list.as_array());
    let factors: Option<Vec<usize>> =
        factors.and_then(|list| list.iter().map(|factor| Some(factor.as_u64()? as usize)).collect());
    let factors = factors.ok_or("`bucket_factors` are no counts")?;
    let exact = Bound::of_largest(OF_LARGEST);
    let buckets = if is_given {
        let buckets = case.input("buckets")?;
        // Behind the last position there is padding to a whole chunk.
        ops::slice(&mut case.recording.graph, buckets, 3, 0..time)?
    } else {
        let found = lsh_buckets(&mut case.recording.graph, qk, rotations, &factors, &settings)?;
        let of_file = buckets_of_positions(case.file.tensors.get("buckets")?, time)?;
        case.recording.expect("buckets", found, of_file, Rows::All, exact)?;
        found
    };
    let attended = lsh_attention(&mut case.recording.graph, qk, v, Some(buckets), &settings)?;
    let order = attended.order.ok_or("no order")?;
    let of_file = case.file.tensors.get("order")?.clone();
    case.recording.expect("order", order, of_file, Rows::All, exact)?;
    lsh_outputs(case, &attended)
}

/// The first `time` of each row of `buckets: [batch, heads, rounds, slots]`.
fn buckets_of_positions(buckets: &HostTensor, time: usize) -> Result<HostTensor> {
    let &[batch, heads, rounds, slots] = buckets.shape().dims() else {
        return Err("`buckets` are of another rank".into());
    };
    let numbers = buckets.to_f64();
    let rows = numbers.chunks(slots).flat_map(|row| row[..time].iter().map(|&bucket| bucket as i32));
    Ok(HostTensor::i32([batch, heads, rounds, time], rows.collect())?)
}

/// Tokens that see others are compared besides without those that see themselves alone, whose log-sum-exp says what is large. Files of implementations
/// that do not give log-sum-exps have none.
fn lsh_outputs(case: &mut Case<'_>, attended: &LshAttended) -> Result<()> {
    let time = case.dims(attended.out)?[1];
    let rows = |axis: usize| -> Result<Rows> {
        case.file.tensors.find("length").map_or(Ok(Rows::All), |lengths| Ok(Rows::below(lengths, time, axis)))
    };
    let (of_out, of_lse, of_rounds) = (rows(1)?, rows(2)?, rows(3)?);
    for (name, value, rows) in
        [("lse", attended.lse, &of_lse), ("lse_rounds", attended.lse_rounds, &of_rounds)]
    {
        if case.file.tensors.find(name).is_none() {
            continue;
        }
        let graph = &mut case.recording.graph;
        let least = ops::fill(graph, TensorDesc::f32([1]), ALONE)?;
        let others = ops::maximum(graph, value, least)?;
        let tensor = case.file.tensors.get(name)?;
        let expected = tensor.to_f32().into_iter().map(|lse| lse.max(ALONE)).collect();
        let expected = HostTensor::f32(tensor.shape().clone(), expected)?;
        let bound = Bound { absolute: Some(1e-3), ..Bound::of_largest(OF_LARGEST) };
        let what = format!("{name} of those that see others");
        case.recording.expect(&what, others, expected, rows.clone(), bound)?;
        case.output_rows(name, value, rows.clone())?;
    }
    case.output_rows("out", attended.out, of_out)
}

fn sorted_blocks(case: &mut Case<'_>) -> Result<()> {
    let spec = &case.file.spec;
    let (block, is_causal) = (spec.count("block")? as usize, spec.bool("causal")?);
    let scale = spec.number("scale")?;
    let qkv = case.inputs(["q", "k", "v"])?;
    let permutation = case.input("perm")?;
    let graph = &mut case.recording.graph;
    let out = sinkhorn_sorted(graph, qkv, permutation, block, is_causal, Some(scale))?;
    case.output("out", out)
}

/// Tokens of queries and, where they are others, of keys one behind the other.
fn routing(case: &mut Case<'_>) -> Result<()> {
    let spec = &case.file.spec;
    spec.pass_over(&["aux", "update", "mask", "orphan_rows", "most_memberships", "empty_clusters"]);
    let (window, is_shared) = (spec.count("window")? as usize, spec.bool("shared_qk")?);
    let (commitment, decay) = (spec.number("commitment")?, spec.number("ema_decay")?);
    let clusters = spec.count("clusters")? as usize;
    let mut settings = Routing::new().scale(spec.number("scale")?);
    if spec.bool("causal")? {
        settings = settings.causal();
    }
    if spec.count("memory_keys")? > 0 {
        settings = settings.memory(case.inputs(["mem_k", "mem_v"])?);
    }
    if case.file.tensors.find("length").is_some() {
        settings = settings.lengths(case.input("length")?);
    }
    let [q, v] = case.inputs(["q", "v"])?;
    let k = if is_shared { None } else { Some(case.input("k")?) };
    let means = case.input("means")?;
    if case.dims(means)?[1] != clusters {
        return Err("`means` are not those of so many clusters".into());
    }
    let graph = &mut case.recording.graph;
    let own = balanced_clusters(graph, q, means, window)?;
    let of_keys = match k {
        Some(k) => balanced_clusters(graph, k, means, window)?,
        None => own,
    };
    let tokens = match k {
        Some(k) => ops::concat(graph, &[q, k], 1)?,
        None => q,
    };
    let nearest = nearest_centroids(graph, tokens, means)?;
    let out = routing_attention(graph, q, k, v, [own, of_keys], &settings)?;
    let loss = commitment_loss(graph, tokens, means, nearest, commitment)?;
    let moved = moved_centroids(graph, tokens, means, nearest, decay)?;
    let time = case.dims(q)?[1];
    let rows = match case.file.tensors.find("length") {
        Some(lengths) => Rows::below(lengths, time, 1),
        None => Rows::All,
    };
    let found = [("q_indices", own), ("k_indices", of_keys), ("nearest", nearest), ("new_means", moved)];
    for (name, value) in found {
        case.output_again(&format!("{name} that are found"), name, value)?;
    }
    case.output_rows("out", out, rows)?;
    case.output("aux_loss", loss)
}

fn routing_layer(case: &mut Case<'_>) -> Result<()> {
    let spec = &case.file.spec;
    spec.pass_over(&["names", "formula"]);
    let count = |key: &str| spec.count(key).map(|count| count as usize);
    let settings = RoutingSettings {
        local_heads: count("local_heads")?,
        routed_heads: count("routed_heads")?,
        head_size: case.file.tensors.get("mem_k")?.shape().dims()[3],
        local_window: count("local_window")?,
        clusters: count("clusters")?,
        window: count("window")?,
        memory: case.file.tensors.get("mem_k")?.shape().dims()[2],
        is_causal: true,
        commitment: spec.number("commitment")?,
        decay: 0.999,
    };
    let mut declarations = Declarations::new();
    let x = case.input("x")?;
    let width = case.dims(x)?[2];
    let layer = RoutingAttention::declare(&mut declarations.root(), width, settings)?;
    for weight in declarations.list() {
        case.weight(&weight.name, &weight.name)?;
    }
    let mut recorder = Recorder::new(&mut case.recording.graph, DType::F32);
    let routed = layer.record_with_loss(&mut recorder, x, &Layout::Rows)?;
    for (name, members) in ["q_indices", "k_indices"].into_iter().zip(routed.members) {
        case.output_again(&format!("{name} that are found"), name, members)?;
    }
    case.output("out", routed.out)?;
    case.output("aux_loss", routed.loss)
}

fn axial(case: &mut Case<'_>) -> Result<()> {
    let spec = &case.file.spec;
    let pair = |key: &str| -> Result<[usize; 2]> {
        let list = spec.find(key).and_then(|list| list.as_array());
        let counts = list.and_then(|list| list.iter().map(|count| Some(count.as_u64()? as usize)).collect());
        let counts: Vec<usize> = counts.ok_or_else(|| format!("`{key}` is no list of counts"))?;
        counts.try_into().map_err(|_| format!("`{key}` are not two").into())
    };
    let (shape, widths) = (pair("shape")?, pair("dims")?);
    let layer = AxialPositions::declare(&mut Declarations::new().root(), shape, widths)?;
    for name in ["weights.0", "weights.1"] {
        case.weight(name, name)?;
    }
    let ids = case.input("ids")?;
    let graph = &mut case.recording.graph;
    let table = layer.table(graph, DType::F32)?;
    let out = layer.record(graph, ids, DType::F32)?;
    case.output("table", table)?;
    case.output("out", out)
}
