//! Benchmarks, and conformance cases: lengths around the edges of chunks and tiles, head and value sizes of every class, maps, denominators,
//! masks, states, grouped heads, packed sequences, decays, the delta rule, chunks of any length. Gradients' cases follow from these.

use super::{
    CustomFeature, Denominator, FeatureMap, LinearAttention, LinearState, NAME, linear_attention,
    linear_attention_with_state,
};
use crate::Result;
use crate::check::{Bench, Case, DIVISION_ULPS, Problem, Work, exp_ulps};
use crate::graph::Value;
use crate::ops::Activation;
use crate::tensor::{DType, HostTensor};

/// One problem.
#[derive(Clone, Debug)]
struct Setup {
    dtype: DType,
    batch: usize,
    query_time: usize,
    key_time: usize,
    heads: usize,
    kv_heads: usize,
    head_size: usize,
    value_size: usize,
    maps: [Activation; 2],
    is_causal: bool,
    denominator: Option<Denominator>,
    scale: f32,
    chunk: Option<u32>,
    lengths: Option<Vec<i32>>,
    /// Lengths of packed sequences of each item, behind which each position is a sequence of its own.
    packed: Option<Vec<Vec<usize>>>,
    has_state: bool,
    /// The least log decay of a step.
    decay: Option<f32>,
    /// Whether there is one for each channel.
    by_channel: bool,
    /// The largest factor of the delta rule.
    beta: Option<f32>,
    /// Whether the map is [`cubed`], in the place of `maps`.
    is_custom: bool,
}

impl Setup {
    fn new(query_time: usize, key_time: usize) -> Self {
        Self {
            dtype: DType::F32,
            batch: 1,
            query_time,
            key_time,
            heads: 2,
            kv_heads: 2,
            head_size: 16,
            value_size: 16,
            maps: [Activation::EluPlusOne; 2],
            is_causal: false,
            denominator: Some(Denominator::Plus(1e-6)),
            scale: 1.0,
            chunk: None,
            lengths: None,
            packed: None,
            has_state: false,
            decay: None,
            by_channel: false,
            beta: None,
            is_custom: false,
        }
    }

    fn causal(time: usize) -> Self {
        Self { is_causal: true, ..Self::new(time, time) }
    }

    fn packed(time: usize, items: &[&[usize]]) -> Self {
        let packed = items.iter().map(|lengths| lengths.to_vec()).collect();
        Self { batch: items.len(), packed: Some(packed), ..Self::new(time, time) }
    }

    fn sizes(self, head_size: usize, value_size: usize) -> Self {
        Self { head_size, value_size, ..self }
    }

    fn heads(self, heads: usize, kv_heads: usize) -> Self {
        Self { heads, kv_heads, ..self }
    }

    fn map(self, map: Activation) -> Self {
        Self { maps: [map; 2], ..self }
    }

    fn unnormalised(self) -> Self {
        Self { denominator: None, ..self }
    }

    fn chunk(self, chunk: u32) -> Self {
        Self { chunk: Some(chunk), ..self }
    }

    fn lengths(self, lengths: &[i32]) -> Self {
        Self { batch: lengths.len(), lengths: Some(lengths.to_vec()), ..self }
    }

    fn with_state(self) -> Self {
        Self { has_state: true, ..self }
    }

    /// Log decays from 0 down to `least` on keys as they are, without a denominator.
    fn decays(self, least: f32) -> Self {
        let setup = Self { decay: Some(least), scale: 0.25, ..self };
        setup.map(Activation::Identity).unnormalised()
    }

    /// Decays of each channel.
    fn by_channel(self) -> Self {
        Self { by_channel: true, ..self }
    }

    /// The delta rule with factors up to `most`.
    fn delta(self, most: f32) -> Self {
        let setup = Self { beta: Some(most), scale: 0.25, ..self };
        setup.map(Activation::Identity).unnormalised()
    }

    fn label(&self) -> String {
        let Self { dtype, batch, query_time, key_time, heads, kv_heads, head_size, value_size, .. } = self;
        let mut label = format!(
            "{dtype} {batch} x {query_time} queries, {key_time} keys, {heads}/{kv_heads} heads of {head_size}/{value_size}"
        );
        let mut add = |words: String| label += &format!(", {words}");
        if self.is_causal {
            add("causal".into());
        }
        match self.maps {
            _ if self.is_custom => add("a map of the user's".into()),
            [query, key] if query == key => add(format!("{query:?}")),
            [query, key] => add(format!("{query:?} and {key:?}")),
        }
        match self.denominator {
            Some(Denominator::Plus(eps)) => add(format!("plus {eps:e}")),
            Some(Denominator::AtLeast(eps)) => add(format!("at least {eps:e}")),
            None => add("no denominator".into()),
        }
        if self.scale.to_bits() != 1.0_f32.to_bits() {
            add(format!("scale {}", self.scale));
        }
        if let Some(chunk) = self.chunk {
            add(format!("chunks of {chunk}"));
        }
        if let Some(lengths) = &self.lengths {
            add(format!("lengths {lengths:?}"));
        }
        if let Some(packed) = &self.packed {
            add(format!("packed {packed:?}"));
        }
        if self.has_state {
            add("from a state".into());
        }
        if let Some(least) = self.decay {
            let whose = if self.by_channel { " of channels" } else { "" };
            add(format!("log decays{whose} down to {least}"));
        }
        if let Some(most) = self.beta {
            add(format!("delta rule, factors up to {most}"));
        }
        label
    }

    /// Query, key and value of `problem`, and the settings.
    fn inputs(&self, problem: &mut Problem) -> Result<([Value; 3], LinearAttention)> {
        let Self { dtype, batch, query_time, key_time, heads, kv_heads, head_size, value_size, .. } = *self;
        let q = problem.random("q", dtype, [batch, query_time, heads, head_size], 1.0)?;
        // Keys of the delta rule are at most about as long as 1.
        let amplitude = self.beta.map_or(1.0, |_| (2.5 / head_size as f32).sqrt().min(1.0));
        let k = problem.random("k", dtype, [batch, key_time, kv_heads, head_size], amplitude)?;
        let v = problem.random("v", dtype, [batch, key_time, kv_heads, value_size], 1.0)?;
        let [query_map, key_map] = match self.is_custom {
            true => [cubed()?, cubed()?],
            false => self.maps.map(|map| match map {
                Activation::Identity => FeatureMap::Given,
                map => FeatureMap::Elementwise(map),
            }),
        };
        let mut spec = LinearAttention::new().feature_maps(query_map, key_map).scale(self.scale);
        spec = match self.denominator {
            Some(denominator) => spec.denominator(denominator),
            None => spec.unnormalised(),
        };
        if self.is_causal {
            spec = spec.causal();
        }
        if let Some(chunk) = self.chunk {
            spec = spec.chunk(chunk);
        }
        if self.has_state {
            let sums = problem.random("sums", DType::F32, [batch, kv_heads, head_size, value_size], 2.0)?;
            let normalizer = match self.denominator {
                Some(_) => {
                    let shape = [batch, kv_heads, head_size];
                    Some(problem.random_within("normalizer", DType::F32, shape, 0.5..2.5)?)
                }
                None => None,
            };
            spec = spec.state(LinearState { sums, normalizer });
        }
        if let Some(lengths) = &self.lengths {
            spec = spec.lengths(problem.input("lengths", HostTensor::i32([batch], lengths.clone())?)?);
        }
        if let Some(least) = self.decay {
            let shape = [batch, key_time, kv_heads, head_size];
            let shape = if self.by_channel { &shape[..] } else { &shape[..3] };
            spec = spec.decay(problem.random_within("log_decay", DType::F32, shape, least..0.0)?);
        }
        if let Some(most) = self.beta {
            let shape = [batch, key_time, kv_heads];
            spec = spec.delta_rule(problem.random_within("beta", DType::F32, shape, 0.0..most)?);
        }
        if let Some(packed) = &self.packed {
            let item = |lengths: &Vec<usize>| -> Vec<i32> {
                let sequences = lengths.iter().copied().chain(std::iter::repeat(1));
                let ids = (-7..).step_by(3).zip(sequences);
                ids.flat_map(|(id, length)| vec![id; length]).take(key_time).collect()
            };
            let ids = HostTensor::i32([batch, key_time], packed.iter().flat_map(item).collect())?;
            spec = spec.segments(problem.input("segments", ids)?);
        }
        Ok(([q, k, v], spec))
    }

    fn build(&self, problem: &mut Problem, wanted: Wanted) -> Result<Vec<Value>> {
        let ([q, k, v], spec) = self.inputs(problem)?;
        let (out, state) = linear_attention_with_state(&mut problem.graph, q, k, v, &spec)?;
        Ok(match wanted {
            Wanted::Out => vec![out],
            Wanted::State => vec![state.sums],
            Wanted::All => [Some(out), Some(state.sums), state.normalizer].into_iter().flatten().collect(),
        })
    }

    /// What the maps lose, above and below the fraction bar, and the division.
    fn builtin_ulps(&self) -> f64 {
        let maps: f64 = self.maps.iter().map(|map| map.trials().ulps[0]).sum();
        let decays = self.decay.map_or(0.0, |least| exp_ulps(f64::from(-least)));
        2.0 * maps + DIVISION_ULPS + decays
    }

    fn case(self, wanted: Wanted) -> Case {
        let mut label = self.label();
        match wanted {
            Wanted::All => {}
            Wanted::Out => label += ", no state wanted",
            Wanted::State => label += ", only the sums wanted",
        }
        let (ulps, is_kinked) = (self.builtin_ulps(), self.maps.contains(&Activation::Relu));
        let case = Case::new(NAME, label, move |problem| self.build(problem, wanted)).builtin_ulps(ulps);
        if is_kinked { case.kinked() } else { case }
    }
}

/// Which outputs are compared.
#[derive(Clone, Copy, Debug)]
enum Wanted {
    All,
    Out,
    State,
}

pub(crate) fn cases() -> Vec<Case> {
    let mut setups = length_setups();
    setups.extend(rule_setups());
    setups.extend(size_setups());
    setups.extend(packed_setups());
    setups.extend(decay_setups());
    setups.extend(delta_setups());
    setups.push(Setup { is_custom: true, ..Setup::causal(70).unnormalised() });
    setups.push(Setup { is_custom: true, ..Setup::new(30, 41).sizes(5, 7).unnormalised() });
    let f16 = setups.iter().step_by(3).cloned().map(|setup| Setup { dtype: DType::F16, ..setup });
    let f16: Vec<Setup> = f16.collect();
    let mut cases: Vec<Case> = setups.into_iter().chain(f16).map(|setup| setup.case(Wanted::All)).collect();
    for setup in [
        Setup::causal(50),
        Setup::causal(130),
        Setup::causal(130).with_state(),
        Setup::new(40, 70),
        Setup::packed(100, &[&[30, 41, 29]]),
    ] {
        cases.push(setup.clone().case(Wanted::Out));
        cases.push(setup.case(Wanted::State));
    }
    cases
}

fn length_setups() -> Vec<Setup> {
    let mut setups = Vec::new();
    for time in [1, 2, 15, 63, 64, 65, 97, 200] {
        setups.push(Setup::causal(time));
        setups.push(Setup::new(time, 65));
        setups.push(Setup::new(33, time));
    }
    for (query_time, key_time) in [(0, 5), (5, 0), (0, 0)] {
        setups.push(Setup::new(query_time, key_time));
    }
    setups.push(Setup::causal(0).with_state());
    setups.push(Setup::new(300, 1000).sizes(32, 32));
    setups.push(Setup::causal(1000).heads(1, 1));
    for chunk in [1, 7, 16, 64, 1000] {
        setups.push(Setup::causal(150).chunk(chunk).with_state());
        setups.push(Setup::new(150, 150).chunk(chunk));
    }
    setups
}

fn rule_setups() -> Vec<Setup> {
    let mut setups = Vec::new();
    for map in [Activation::Relu, Activation::SquaredRelu, Activation::Softplus, Activation::Sigmoid] {
        setups.push(Setup { denominator: Some(Denominator::Plus(0.1)), ..Setup::causal(90).map(map) });
        setups.push(Setup { denominator: Some(Denominator::AtLeast(4.0)), ..Setup::new(40, 30).map(map) });
    }
    for map in
        [Activation::Identity, Activation::Tanh, Activation::Relu, Activation::LeakyRelu { slope: 0.1 }]
    {
        setups.push(Setup { scale: 0.25, ..Setup::causal(90).map(map).unnormalised() });
        setups.push(Setup { scale: -0.5, ..Setup::new(30, 50).map(map).unnormalised().with_state() });
    }
    let exp = Setup { maps: [Activation::Sigmoid, Activation::Exp], scale: 0.25, ..Setup::causal(70) };
    setups.push(Setup { denominator: Some(Denominator::AtLeast(1e-3)), ..exp });
    setups.push(Setup { denominator: Some(Denominator::Plus(0.0)), ..Setup::causal(70) });
    setups.push(Setup::new(50, 70).lengths(&[70, 0, 33, 1, 500, -4]));
    setups.push(Setup::causal(70).lengths(&[70, 0, 33, 64, 500]));
    setups.push(Setup::causal(70).lengths(&[70, 0, 33]).with_state());
    for (heads, kv_heads) in [(4, 2), (7, 1), (6, 6), (14, 2)] {
        setups.push(Setup::causal(70).heads(heads, kv_heads).with_state());
        setups.push(Setup::new(1, 70).heads(heads, kv_heads));
    }
    // A token at a time.
    setups.push(Setup { batch: 3, ..Setup::causal(1).sizes(64, 64).heads(8, 2).with_state() });
    // More workgroups than one axis of a dispatch holds.
    setups.push(Setup { batch: 33_000, ..Setup::causal(2).sizes(4, 4) });
    setups
}

fn size_setups() -> Vec<Setup> {
    let square = [1, 8, 31, 32, 40, 64, 96, 128, 256].map(|size| (size, size));
    let oblong = [(64, 32), (5, 128), (128, 3), (256, 1), (1, 256), (24, 7), (16, 24)];
    let setup = |(i, (head_size, value_size)): (usize, (usize, usize))| {
        let setup = if i % 3 == 2 { Setup::new(35, 47) } else { Setup::causal(70).with_state() };
        let setup = setup.sizes(head_size, value_size);
        if i % 2 == 1 { setup.unnormalised() } else { setup }
    };
    square.into_iter().chain(oblong).enumerate().map(setup).collect()
}

fn packed_setups() -> Vec<Setup> {
    let edges: &[usize] = &[1, 2, 63, 64, 65, 97];
    let causal = |setup: Setup| Setup { is_causal: true, ..setup };
    vec![
        causal(Setup::packed(292, &[edges])),
        Setup::packed(292, &[edges]),
        causal(Setup::packed(100, &[&[1; 70]])),
        Setup::packed(100, &[&[3; 30]]),
        causal(Setup::packed(200, &[&[200], &[64, 64, 72]])),
        Setup::packed(200, &[&[200], &[64, 64, 72]]).with_state(),
        causal(Setup::packed(150, &[&[40, 60], &[1, 148], &[], &[150]])).with_state(),
        Setup::packed(150, &[&[40, 60], &[1, 148], &[], &[150]]).chunk(10),
        causal(Setup::packed(70, &[&[33, 37], &[5, 64]])).heads(4, 2).chunk(16).with_state(),
        Setup::packed(70, &[&[33, 37], &[5, 64]]).heads(4, 2).chunk(16).with_state(),
        Setup::packed(70, &[&[33, 37], &[5, 64]]).map(Activation::Tanh).unnormalised(),
        causal(Setup::packed(90, &[&[80, 10], &[90]])).lengths(&[85, 30]),
        Setup::packed(90, &[&[80, 10], &[90]]).lengths(&[85, 30]),
        Setup::packed(0, &[&[], &[]]).with_state(),
    ]
}

fn decay_setups() -> Vec<Setup> {
    let packed = |items: &[&[usize]]| Setup { is_causal: true, ..Setup::packed(150, items) };
    let normalised = |setup: Setup| Setup {
        maps: [Activation::EluPlusOne; 2],
        denominator: Some(Denominator::Plus(1e-6)),
        ..setup
    };
    let of_steps = vec![
        Setup::causal(40).decays(-0.1),
        Setup::causal(200).with_state().decays(-0.1),
        Setup::causal(150).chunk(16).with_state().decays(-1.0),
        Setup::causal(90).heads(4, 2).sizes(16, 24).with_state().decays(-1.0),
        Setup::causal(150).with_state().decays(-8.0),
        Setup::causal(150).chunk(1).with_state().decays(-8.0),
        packed(&[&[40, 60], &[1, 148], &[150]]).with_state().decays(-1.0),
        Setup::causal(0).with_state().decays(-1.0),
        Setup { batch: 3, ..Setup::causal(1).sizes(64, 64).heads(8, 2).with_state() }.decays(-1.0),
        Setup::causal(70).lengths(&[70, 0, 33]).with_state().decays(-1.0),
        normalised(Setup::causal(100).with_state().decays(-1.0)),
        normalised(packed(&[&[40, 60], &[1, 148]]).heads(4, 2).chunk(16).decays(-8.0)),
    ];
    let of_channels = vec![
        Setup::causal(40).decays(-0.1),
        Setup::causal(100).with_state().decays(-1.0),
        Setup::causal(70).with_state().decays(-8.0),
        Setup::causal(150).chunk(64).with_state().decays(-8.0),
        Setup::causal(50).chunk(1).with_state().decays(-8.0),
        Setup::causal(90).heads(4, 2).sizes(16, 24).with_state().decays(-1.0),
        Setup::causal(40).sizes(5, 128).with_state().decays(-1.0),
        Setup::causal(40).sizes(128, 3).decays(-1.0),
        packed(&[&[40, 60], &[1, 148], &[150]]).with_state().decays(-1.0),
        Setup::causal(70).lengths(&[70, 0, 33]).with_state().decays(-1.0),
        normalised(Setup::causal(100).with_state().decays(-1.0)),
        Setup::causal(0).with_state().decays(-1.0),
        Setup { batch: 3, ..Setup::causal(1).sizes(64, 64).heads(8, 2).with_state() }.decays(-1.0),
    ];
    of_steps.into_iter().chain(of_channels.into_iter().map(Setup::by_channel)).collect()
}

fn delta_setups() -> Vec<Setup> {
    let packed = |items: &[&[usize]]| Setup { is_causal: true, ..Setup::packed(150, items) };
    let gated = |setup: Setup, least: f32| Setup { decay: Some(least), ..setup.delta(1.0) };
    vec![
        Setup::causal(40).delta(1.0),
        Setup::causal(150).with_state().delta(1.0),
        Setup::causal(100).chunk(1).with_state().delta(1.0),
        Setup::causal(150).chunk(16).with_state().delta(2.0),
        Setup::causal(300).chunk(1000).with_state().delta(1.0),
        Setup::causal(90).heads(4, 2).sizes(16, 24).with_state().delta(1.0),
        Setup::causal(40).sizes(5, 128).with_state().delta(1.0),
        Setup::causal(40).sizes(128, 3).delta(1.0),
        Setup::causal(20).sizes(1, 1).with_state().delta(1.0),
        packed(&[&[40, 60], &[1, 148], &[150]]).with_state().delta(1.0),
        Setup::causal(70).lengths(&[70, 0, 33]).with_state().delta(1.0),
        Setup::causal(0).with_state().delta(1.0),
        Setup { batch: 3, ..Setup::causal(1).sizes(64, 64).heads(8, 2).with_state() }.delta(1.0),
        gated(Setup::causal(100).with_state(), -1.0),
        gated(Setup::causal(150).chunk(16).heads(4, 2).with_state(), -8.0),
        gated(packed(&[&[40, 60], &[1, 148], &[150]]).with_state(), -1.0),
        gated(Setup::causal(70).lengths(&[70, 0, 33]).with_state(), -1.0),
    ]
}

/// A map of the user's, `x^3`, of which the WGSL has a function of its own.
fn cubed() -> Result<FeatureMap> {
    let wgsl = "fn cubed_square(x: f32) -> f32 {\n    return x * x;\n}\n\
        fn cubed(x: f32) -> f32 {\n    return cubed_square(x) * x;\n}\n\
        fn cubed_slope(x: f32) -> f32 {\n    return 3.0 * cubed_square(x);\n}\n";
    let feature = CustomFeature::new("cubed", wgsl, |x| x * x * x)?.with_slope(|x| 3.0 * x * x)?;
    Ok(FeatureMap::Custom(feature))
}

/// Every row counts the products of the recurrence, `4 * time * heads * head_size * value_size` a pass: with the output, twice that of state
/// and output, and two more such pairs backwards.
pub(crate) fn benches() -> Vec<Bench> {
    let bench = |label: &str, time: usize, setup: fn(usize) -> Setup, is_backward: bool| {
        let flops = (4 * time * 4 * 64 * 64) as u64 * if is_backward { 3 } else { 1 };
        Bench::new(NAME, label, Work::Flops(flops), move |problem| {
            let setup = setup(time).sizes(64, 64).heads(4, 4);
            let ([q, k, v], spec) = setup.inputs(problem)?;
            let out = linear_attention(&mut problem.graph, q, k, v, &spec)?;
            if !is_backward {
                return Ok(vec![out]);
            }
            let upstream = problem.random("upstream", DType::F32, [1, time, 4, 64], 1.0)?;
            let gradients = problem.graph.gradients_from(&[(out, upstream)], &[q, k, v])?;
            Ok(gradients.into_iter().flatten().collect())
        })
    };
    let full: fn(usize) -> Setup = |time| Setup::new(time, time);
    let step: fn(usize) -> Setup = |time| Setup::causal(time).with_state();
    vec![
        bench("4096, causal", 4096, Setup::causal, false),
        bench("4096, causal, forward and backward", 4096, Setup::causal, true),
        bench("4096, causal, relu", 4096, |time| Setup::causal(time).map(Activation::Relu), false),
        bench("1024, causal", 1024, Setup::causal, false),
        bench("65,536, causal", 65_536, Setup::causal, false),
        bench("4096", 4096, full, false),
        bench("4096, forward and backward", 4096, full, true),
        bench("one token from a state", 1, step, false),
    ]
}
