//! Whether the WGSL of a custom rule computes what its Rust reference computes.

use std::sync::Arc;

use super::case::{Case, Problem};
use super::conform::{Outcome, conform};
use super::{exp_ulps, gradient_case};
use crate::gpu::{Context, Program};
use crate::ops::attention::{Blocked, blocked_with_lse};
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
    agree(&case, context)?;
    match gradient_case(&case)? {
        Some(gradients) => agree(&gradients, context),
        None => Ok(()),
    }
}

fn agree(case: &Case, context: &Context) -> Result<()> {
    // What does not compile or does not fit says so itself.
    Program::new(context, &Plan::new(&case.problem()?.graph, context.caps())?)?;
    match conform(case, context, context.caps()) {
        Outcome::Passed(_) => Ok(()),
        Outcome::Unsupported(error) => Err(error),
        Outcome::Failed(reason) => Err(Error::new(ErrorKind::Argument, "attention rule", "reference")
            .expecting("the function that the WGSL is")
            .but_found(format!("another one: {reason}"))),
    }
}
