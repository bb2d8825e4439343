//! Whether the WGSL of a custom rule, or of a feature map, computes what its Rust reference computes.

use std::sync::Arc;

use super::case::{Case, Problem};
use super::conform::{Outcome, conform};
use super::{exp_ulps, gradient_case};
use crate::gpu::{Context, Program};
use crate::ops::attention::{
    Blocked, CustomFeature, FeatureMap, LinearAttention, blocked_with_lse, linear_attention,
};
use crate::plan::Plan;
use crate::tensor::DType;
use crate::{Error, ErrorKind, Result};

/// Extents of the problem that [`compare_custom_rule`] tries a rule on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extents {
    /// Batch items.
    pub batch: usize,
    /// Queries.
    pub query_time: usize,
    /// Keys.
    pub key_time: usize,
    /// Heads of queries.
    pub heads: usize,
    /// Heads of keys and values, which divide them.
    pub kv_heads: usize,
}

/// Runs attention with the rule that `make` gives, on random queries, keys and values, on the device and by the references of its custom
/// rules, with gradients where it has them. `make` may add tensors of its own to the problem.
///
/// Fails with the first element that differs by more than rounding explains: WGSL and reference of a custom rule are not the same function,
/// or its tiles promise what its pairs do not keep. Also fails as a program does when the WGSL does not compile.
pub fn compare_custom_rule(
    context: &Context,
    extents: Extents,
    make: impl Fn(&mut Problem) -> Result<Blocked> + Send + Sync + 'static,
) -> Result<()> {
    let Extents { batch, query_time, key_time, heads, kv_heads } = extents;
    let build = move |problem: &mut Problem| {
        let mut rows = |name, time, heads| problem.random(name, DType::F32, [batch, time, heads, 16], 1.0);
        let q = rows("query", query_time, heads)?;
        let (k, v) = (rows("key", key_time, kv_heads)?, rows("value", key_time, kv_heads)?);
        let spec = make(problem)?;
        let (out, lse) = blocked_with_lse(&mut problem.graph, q, k, v, &spec)?;
        Ok(vec![out, lse])
    };
    // What exponentials may lose above and below the fraction bar, for scores of any rule that differ by as much as weights can tell.
    let case =
        Arc::new(Case::new("attention/blocked", "custom rule", build).builtin_ulps(2.0 * exp_ulps(100.0)));
    agree_with_gradients(&case, context, "attention rule")
}

/// Runs linear attention without a denominator on random features that `feature` makes, on the device and by its reference, with gradients where
/// it has a slope.
///
/// Fails with the first element that differs by more than rounding explains, and as a program does when the WGSL does not compile.
pub fn compare_custom_feature(context: &Context, feature: &CustomFeature) -> Result<()> {
    let spec = LinearAttention::new().feature_map(FeatureMap::Custom(feature.clone())).unnormalised();
    let build = move |problem: &mut Problem| {
        let mut rows = |name| problem.random(name, DType::F32, [1, 40, 2, 16], 2.0);
        let (q, k, v) = (rows("query")?, rows("key")?, rows("value")?);
        Ok(vec![linear_attention(&mut problem.graph, q, k, v, &spec)?])
    };
    let case = Case::new("attention/linear", "custom feature", build).builtin_ulps(2.0 * exp_ulps(100.0));
    agree_with_gradients(&Arc::new(case), context, "feature map")
}

fn agree_with_gradients(case: &Arc<Case>, context: &Context, what: &'static str) -> Result<()> {
    agree(case, context, what)?;
    match gradient_case(case)? {
        Some(gradients) => agree(&gradients, context, what),
        None => Ok(()),
    }
}

fn agree(case: &Case, context: &Context, what: &'static str) -> Result<()> {
    // What does not compile or does not fit says so itself.
    Program::new(context, &Plan::new(&case.problem()?.graph, context.caps())?)?;
    match conform(case, context, context.caps()) {
        Outcome::Passed(_) => Ok(()),
        Outcome::Unsupported(error) => Err(error),
        Outcome::Failed(reason) => Err(Error::new(ErrorKind::Argument, what, "reference")
            .expecting("the function that the WGSL is")
            .but_found(format!("another one: {reason}"))),
    }
}
