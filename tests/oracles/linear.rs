//! Linear attention: the rows of the table of `mechanisms.rs` about it.

use foveate::Value;
use foveate::ops::Activation;
use foveate::ops::attention::{
    Blocked, Denominator, FeatureMap, FeaturesOf, LinearAttention, LinearState, SoftmaxKernel, blocked,
    cosine_features, generalized_kernel_features, linear_attention, linear_attention_with_state,
    softmax_kernel_features,
};

use crate::Result;
use crate::case::Case;
use crate::mechanisms::{Row, row};

pub(crate) const ROWS: &[Row] = &[
    row("FAVOR+ generalised kernel", relu_kernel),
    row("FAVOR+ softmax kernel (2009.14794)", softmax_kernel),
    row("cosFormer (2202.08791)", cosine),
    row("delta rule (2102.11174, 2406.06484)", decayed),
    row("efficient attention (1812.01243)", efficient),
    row(
        "exact softmax attention (out, with gradients) beside its FAVOR+ approximations out_#, out_#, out_# (eps 0, no gradients)",
        approximations,
    ),
    row(
        "gated linear attention (2312.06635): log decay per key channel, without its group norm and output gate",
        decayed,
    ),
    row("gated delta rule (2412.06464)", decayed),
    row("linear attention", mapped),
    row(
        "linear attention with a scalar data-dependent decay per head (simple GLA, Mamba-2 / SSD without its skip and conv)",
        decayed,
    ),
    row("linear attention, causal", softmax_and_exp),
    row("linear attention, no feature map, no denominator", unmapped),
    row("retention (2307.08621), without group norm, rotation or gate", decayed),
];

/// Query, key and value gather under `spec`, from a state where the file has one.
fn gather(case: &mut Case<'_>, mut spec: LinearAttention) -> Result<()> {
    let [query, key, value] = case.inputs(["q", "k", "v"])?;
    if case.file.tensors.find("length").is_some() {
        spec = spec.lengths(case.input("length")?);
    }
    let names = case.file.spec.texts("inputs")?;
    if !names.contains(&"state") {
        let out = linear_attention(&mut case.recording.graph, query, key, value, &spec)?;
        return case.output("out", out);
    }
    let has_normalizer = names.contains(&"z");
    let sums = case.input("state")?;
    let normalizer = if has_normalizer { Some(case.input("z")?) } else { None };
    let spec = spec.state(LinearState { sums, normalizer });
    let (out, last) = linear_attention_with_state(&mut case.recording.graph, query, key, value, &spec)?;
    case.output("out", out)?;
    case.output("final_state", last.sums)?;
    match last.normalizer {
        Some(normalizer) => case.output("final_z", normalizer),
        None => Ok(()),
    }
}

/// Features of query and key, made by `features`, and the value gather under `spec`.
fn gather_features(
    case: &mut Case<'_>,
    spec: &LinearAttention,
    mut features: impl FnMut(&mut Case<'_>, Value, FeaturesOf) -> Result<Value>,
) -> Result<()> {
    let [query, key, value] = case.inputs(["q", "k", "v"])?;
    let query = features(case, query, FeaturesOf::Queries)?;
    let key = features(case, key, FeaturesOf::Keys)?;
    let out = linear_attention(&mut case.recording.graph, query, key, value, spec)?;
    case.output("out", out)
}

/// FAVOR+ has no other scale than that of the projection's argument.
fn random_features(case: &Case<'_>) -> Result<LinearAttention> {
    if !case.file.spec.text("scale")?.starts_with("q and k each times D^-1/4") {
        return Err("this test knows no other scale".into());
    }
    let spec = settings(case)?.feature_map(FeatureMap::Given);
    Ok(spec.denominator(Denominator::Plus(case.file.spec.number("denominator_eps")?)))
}

/// A tensor without gradient, which the spec lists among no inputs.
fn projection(case: &mut Case<'_>, name: &str) -> Result<Value> {
    case.made(name, case.file.tensors.get(name)?.clone())
}

fn softmax_kernel(case: &mut Case<'_>) -> Result<()> {
    let (spec, eps) = (random_features(case)?, case.file.spec.number("eps")?);
    // The file's are those that the op computes.
    case.file.spec.pass_over(&["stabiliser"]);
    case.file.tensors.pass_over(&["stab_q", "stab_k"]);
    let (projection, kernel) = (projection(case, "projection")?, SoftmaxKernel::new().eps(eps));
    gather_features(case, &spec, |case, x, side| {
        Ok(softmax_kernel_features(&mut case.recording.graph, x, projection, side, &kernel)?)
    })
}

fn relu_kernel(case: &mut Case<'_>) -> Result<()> {
    let (spec, eps) = (random_features(case)?, case.file.spec.number("kernel_epsilon")?);
    let projection = projection(case, "projection")?;
    gather_features(case, &spec, |case, x, _| {
        Ok(generalized_kernel_features(&mut case.recording.graph, x, projection, Activation::Relu, eps)?)
    })
}

fn cosine(case: &mut Case<'_>) -> Result<()> {
    if case.file.spec.text("scale")? != "none" {
        return Err("this test knows no scale beside a feature map".into());
    }
    let spec = settings(case)?.feature_map(FeatureMap::Given);
    let spec = spec.denominator(Denominator::AtLeast(case.file.spec.number("eps")?));
    let span = case.file.spec.count("m")? as usize;
    gather_features(case, &spec, |case, x, _| Ok(cosine_features(&mut case.recording.graph, x, span)?))
}

/// Softmax attention, and what random features make of it.
fn approximations(case: &mut Case<'_>) -> Result<()> {
    let scale = case.file.spec.number("scale")?;
    case.file.spec.pass_over(&["errors", "rms_of_exact_output"]);
    let [query, key, value] = case.inputs(["q", "k", "v"])?;
    let out = blocked(&mut case.recording.graph, query, key, value, &Blocked::new().scale(scale))?;
    case.output("out", out)?;
    let outputs = case.file.spec.texts("outputs")?;
    for count in outputs.into_iter().filter_map(|name| name.strip_prefix("out_")) {
        let projection = projection(case, &format!("projection_{count}"))?;
        let graph = &mut case.recording.graph;
        let x =
            softmax_kernel_features(graph, query, projection, FeaturesOf::Queries, &SoftmaxKernel::new())?;
        let y = softmax_kernel_features(graph, key, projection, FeaturesOf::Keys, &SoftmaxKernel::new())?;
        let spec = LinearAttention::new().feature_map(FeatureMap::Given).denominator(Denominator::Plus(0.0));
        let out = linear_attention(graph, x, y, value, &spec)?;
        case.output(&format!("out_{count}"), out)?;
    }
    Ok(())
}

/// The settings that all specs have.
fn settings(case: &Case<'_>) -> Result<LinearAttention> {
    let spec = LinearAttention::new();
    Ok(if case.file.spec.bool("causal")? { spec.causal() } else { spec })
}

fn mapped(case: &mut Case<'_>) -> Result<()> {
    let map = match case.file.spec.text("feature_map")? {
        "elu(x) + 1" => Activation::EluPlusOne,
        "relu(x)" => Activation::Relu,
        "relu(x)^2" => Activation::SquaredRelu,
        other => return Err(format!("this test does not know the feature map `{other}`").into()),
    };
    if case.file.spec.text("scale")? != "none" {
        return Err("this test knows no scale beside a feature map".into());
    }
    let spec = settings(case)?.feature_map(FeatureMap::Elementwise(map));
    let spec = match case.file.spec.find("normalised") {
        Some(normalised) if normalised.as_bool() == Some(false) => spec.unnormalised(),
        _ => spec.denominator(Denominator::Plus(case.file.spec.number("eps")?)),
    };
    // How heads are grouped, in words: shapes say it, too.
    case.file.spec.pass_over(&["heads"]);
    gather(case, spec)
}

fn unmapped(case: &mut Case<'_>) -> Result<()> {
    if case.file.spec.bool("normalised")? {
        return Err("without a feature map there is no denominator".into());
    }
    let spec = settings(case)?.feature_map(FeatureMap::Given).unnormalised();
    let spec = spec.scale(case.file.spec.number("scale")?);
    gather(case, spec)
}

/// Log decays of each head, each step of each head or each of its channels, and the delta rule.
fn decayed(case: &mut Case<'_>) -> Result<()> {
    let names = case.file.spec.texts("inputs")?;
    let mut spec = LinearAttention::new().causal().feature_map(FeatureMap::Given).unnormalised();
    spec = spec.scale(case.file.spec.number("scale")?);
    if names.contains(&"log_decay") {
        spec = spec.decay(case.input("log_decay")?);
    }
    if names.contains(&"beta") {
        spec = spec.delta_rule(case.input("beta")?);
    }
    gather(case, spec)
}

fn softmax_and_exp(case: &mut Case<'_>) -> Result<()> {
    let map = case.file.spec.text("feature_map")?;
    if map != "f(q) = softmax(q over channels) * D^-1/2, f(k) = exp(k)" {
        return Err(format!("this test does not know the feature map `{map}`").into());
    }
    let exp = FeatureMap::Elementwise(Activation::Exp);
    let spec = settings(case)?.feature_maps(FeatureMap::SoftmaxOfChannels, exp);
    let spec = spec.denominator(Denominator::AtLeast(case.file.spec.number("eps")?));
    let spec = spec.scale(case.file.spec.number("scale")?);
    gather(case, spec)
}

fn efficient(case: &mut Case<'_>) -> Result<()> {
    if !case.file.spec.text("scale")?.starts_with("none") {
        return Err("this test knows no scale beside softmax".into());
    }
    let spec = settings(case)?.feature_maps(FeatureMap::SoftmaxOfChannels, FeatureMap::SoftmaxOverTime);
    gather(case, spec.unnormalised())
}
