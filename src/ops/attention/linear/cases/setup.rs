//! A problem of linear attention: its sizes and settings, and the graph of them.

use super::NAME;
use crate::Result;
use crate::check::{Case, DIVISION_ULPS, Problem, exp_ulps};
use crate::graph::Value;
use crate::ops::Activation;
use crate::ops::attention::linear::{
    CustomFeature, Denominator, FeatureMap, LinearAttention, LinearState, linear_attention_with_state,
};
use crate::tensor::{DType, HostTensor};

/// One problem.
#[derive(Clone, Debug)]
pub(super) struct Setup {
    pub(super) dtype: DType,
    pub(super) batch: usize,
    pub(super) query_time: usize,
    pub(super) key_time: usize,
    pub(super) heads: usize,
    pub(super) kv_heads: usize,
    pub(super) head_size: usize,
    pub(super) value_size: usize,
    pub(super) maps: [Activation; 2],
    pub(super) is_causal: bool,
    pub(super) denominator: Option<Denominator>,
    pub(super) scale: f32,
    pub(super) chunk: Option<u32>,
    pub(super) lengths: Option<Vec<i32>>,
    /// Lengths of packed sequences of each item, behind which each position is a sequence of its own.
    pub(super) packed: Option<Vec<Vec<usize>>>,
    pub(super) has_state: bool,
    /// The least log decay of a step.
    pub(super) decay: Option<f32>,
    /// Whether there is one for each channel.
    pub(super) by_channel: bool,
    /// The largest factor of the delta rule.
    pub(super) beta: Option<f32>,
    /// Whether the map is [`cubed`], in the place of `maps`.
    pub(super) is_custom: bool,
}

impl Setup {
    pub(super) fn new(query_time: usize, key_time: usize) -> Self {
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

    pub(super) fn causal(time: usize) -> Self {
        Self { is_causal: true, ..Self::new(time, time) }
    }

    pub(super) fn packed(time: usize, items: &[&[usize]]) -> Self {
        let packed = items.iter().map(|lengths| lengths.to_vec()).collect();
        Self { batch: items.len(), packed: Some(packed), ..Self::new(time, time) }
    }

    pub(super) fn sizes(self, head_size: usize, value_size: usize) -> Self {
        Self { head_size, value_size, ..self }
    }

    pub(super) fn heads(self, heads: usize, kv_heads: usize) -> Self {
        Self { heads, kv_heads, ..self }
    }

    pub(super) fn map(self, map: Activation) -> Self {
        Self { maps: [map; 2], ..self }
    }

    pub(super) fn unnormalised(self) -> Self {
        Self { denominator: None, ..self }
    }

    pub(super) fn chunk(self, chunk: u32) -> Self {
        Self { chunk: Some(chunk), ..self }
    }

    pub(super) fn lengths(self, lengths: &[i32]) -> Self {
        Self { batch: lengths.len(), lengths: Some(lengths.to_vec()), ..self }
    }

    pub(super) fn with_state(self) -> Self {
        Self { has_state: true, ..self }
    }

    /// Log decays from 0 down to `least` on keys as they are, without a denominator.
    pub(super) fn decays(self, least: f32) -> Self {
        let setup = Self { decay: Some(least), scale: 0.25, ..self };
        setup.map(Activation::Identity).unnormalised()
    }

    /// Decays of each channel.
    pub(super) fn by_channel(self) -> Self {
        Self { by_channel: true, ..self }
    }

    /// The delta rule with factors up to `most`.
    pub(super) fn delta(self, most: f32) -> Self {
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
    pub(super) fn inputs(&self, problem: &mut Problem) -> Result<([Value; 3], LinearAttention)> {
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

    pub(super) fn case(self, wanted: Wanted) -> Case {
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
pub(super) enum Wanted {
    All,
    Out,
    State,
}

/// A map of the user's, `x^3`, of which the WGSL has a function of its own.
fn cubed() -> Result<FeatureMap> {
    let wgsl = "fn cubed_square(x: f32) -> f32 {\n    return x * x;\n}\n\
        fn cubed(x: f32) -> f32 {\n    return cubed_square(x) * x;\n}\n\
        fn cubed_slope(x: f32) -> f32 {\n    return 3.0 * cubed_square(x);\n}\n";
    let feature = CustomFeature::new("cubed", wgsl, |x| x * x * x)?.with_slope(|x| 3.0 * x * x)?;
    Ok(FeatureMap::Custom(feature))
}
