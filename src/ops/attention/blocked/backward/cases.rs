//! Benchmarks, and conformance cases that the gradients of forward cases are not: upstream gradients of the output alone, every choice of
//! gradients that are wanted, and the sums that those of a rule's tensors are made of.

use super::super::cases::{Setup, setups};
use super::super::{Forward, NAME, append_forward, blocked};
use super::{Attended, Differentiated, append};
use crate::Result;
use crate::check::{Bench, Case, Problem, Work};
use crate::graph::{Graph, Value};
use crate::ops::attention::rules::{Prepared, prepare};
use crate::ops::attention::{Blocked, Dims, Mask};
use crate::tensor::{DType, HostTensor};

/// One backward problem: the forward pass that it belongs to, whether the log-sum-exp has an upstream gradient, and which of dq,
/// dk and dv are compared.
#[derive(Clone, Debug)]
struct Backward {
    forward: Setup,
    d_lse: bool,
    wanted: [bool; 3],
}

const ALL: [bool; 3] = [true; 3];

impl Backward {
    fn label(&self) -> String {
        let of = if self.d_lse { "output and log-sum-exp" } else { "output" };
        let mut label = format!("gradients: {}, from the {of}", self.forward.label());
        if self.wanted != ALL {
            let names = ["dq", "dk", "dv"].into_iter().zip(self.wanted);
            let names: Vec<&str> = names.filter_map(|(name, wanted)| wanted.then_some(name)).collect();
            label += &format!(", {} only", names.join(" and "));
        }
        label
    }

    fn build(&self, problem: &mut Problem) -> Result<Vec<Value>> {
        let (qkv, spec) = self.forward.inputs(problem)?;
        let Forward { out, lse, statistics } = append_forward(&mut problem.graph, qkv, &spec)?;
        let mut like = |name, value, dtype| {
            let shape = problem.desc(value)?.shape.clone();
            problem.random(name, dtype, shape, 1.0)
        };
        let d_out = like("d_out", out, self.forward.dtype)?;
        let d_lse = if self.d_lse { Some(like("d_lse", lse, DType::F32)?) } else { None };
        let attended = Attended { out, statistics, d_out, d_lse };
        let found = append_of_settings(&mut problem.graph, qkv, &spec, &attended)?;
        let of_rule = [found.pairs, found.relative_keys, found.query_slots, found.key_slots];
        let qkv = found.qkv.into_iter().zip(self.wanted);
        let qkv = qkv.filter_map(|(value, wanted)| wanted.then_some(value));
        Ok(qkv.chain(of_rule.into_iter().flatten()).collect())
    }

    fn case(self) -> Case {
        // Weights and log-sum-exps are computed as in the forward pass, and its output enters D.
        let ulps = 2.0 * self.forward.builtin_ulps();
        Case::new(NAME, self.label(), move |problem| self.build(problem)).builtin_ulps(ulps)
    }
}

/// The backward pass of the rule that `spec` becomes. Where that makes another query of the first value, its gradient is that one's.
fn append_of_settings(
    graph: &mut Graph,
    [query, key, value]: [Value; 3],
    spec: &Blocked,
    attended: &Attended<Value>,
) -> Result<Differentiated> {
    let Prepared { rule, query, tensors } = prepare(NAME, spec, graph, [query, key, value])?;
    append(graph, &rule, [query, key, value], &tensors, attended)
}

/// Appends the backward pass of [`blocked()`](crate::ops::attention::blocked()) without the forward pass, to be timed by itself: the
/// gradients of `query`, `key` and `value`. What the forward pass gives, and the gradient of the output, are further inputs of `problem`,
/// called `out`, `statistics` and `d_out`.
///
/// Fails as the forward pass does when shapes, types or settings do not fit.
pub fn attention_backward(problem: &mut Problem, qkv: [Value; 3], spec: &Blocked) -> Result<[Value; 3]> {
    let [query, key, value] = qkv.map(|value| problem.desc(value).cloned());
    let (query, key, value) = (query?, key?, value?);
    let Dims { batch, query_time, heads, value_size, .. } = Dims::bind(NAME, [&query, &key, &value], 1)?;
    let mut rows = |name| problem.random(name, query.dtype, [batch, query_time, heads, value_size], 1.0);
    let (out, d_out) = (rows("out")?, rows("d_out")?);
    // Maxima of 0 and sums of 1: what they are changes no time.
    let rows = batch * heads * query_time;
    let statistics = HostTensor::f32([batch, heads, query_time, 2], [0.0, 1.0].repeat(rows))?;
    let statistics = problem.input("statistics", statistics)?;
    let attended = Attended { out, statistics, d_out, d_lse: None };
    Ok(append_of_settings(&mut problem.graph, qkv, spec, &attended)?.qkv)
}

/// Fewer than the forward pass has, whose files these are for the most part, as is f16: each is a pair of shaders to compile.
const SIZES: &[(usize, usize)] = &[(31, 31), (64, 64), (256, 256), (5, 128), (256, 1), (24, 7)];

pub(in crate::ops::attention) fn cases() -> Vec<Case> {
    let kept = |(i, forward): &(usize, Setup)| forward.dtype == DType::F32 || i % 3 == 0;
    let every_other = |(i, forward)| Backward { forward, d_lse: i % 2 == 1, wanted: ALL };
    let mut problems: Vec<Backward> =
        setups(SIZES).into_iter().enumerate().filter(kept).map(every_other).collect();
    for wanted in 1..7 {
        let wanted = [1, 2, 4].map(|bit| wanted & bit != 0);
        let forward = Setup::new(65, 97).heads(4, 2).mask(Mask::causal());
        problems.push(Backward { forward: forward.clone(), d_lse: false, wanted });
        problems.push(Backward { forward: forward.sizes(5, 7), d_lse: true, wanted });
    }
    problems.into_iter().map(Backward::case).collect()
}

/// Each backward pass beside its forward pass. Rows count the work of full attention, five products backward where forward has two: `4`
/// and `10 * heads * queries * keys * head_size`. Seven products are really made, as scores are computed twice.
pub(in crate::ops::attention) fn benches() -> Vec<Bench> {
    let mut benches = Vec::new();
    for (name, mask) in [("1024 x 4 heads of 64, f32", Mask::full()), ("the same, causal", Mask::causal())] {
        let spec = Blocked::new().mask(mask);
        let product: u64 = 2 * 4 * 1024 * 1024 * 64;
        let mut bench =
            |part, products, build: fn(&mut Problem, [Value; 3], &Blocked) -> Result<Vec<Value>>| {
                let spec = spec.clone();
                benches.push(Bench::new(
                    NAME,
                    format!("{name}, {part}"),
                    Work::Flops(products * product),
                    move |problem| {
                        let mut rows = |name| problem.random(name, DType::F32, [1, 1024, 4, 64], 1.0);
                        let qkv = [rows("query")?, rows("key")?, rows("value")?];
                        build(problem, qkv, &spec)
                    },
                ));
            };
        bench("forward", 2, |problem, [q, k, v], spec| Ok(vec![blocked(&mut problem.graph, q, k, v, spec)?]));
        bench("backward", 5, |problem, qkv, spec| Ok(attention_backward(problem, qkv, spec)?.into()));
        bench("backward, queries only", 3, |problem, qkv, spec| {
            Ok(attention_backward(problem, qkv, spec)?[..1].into())
        });
        bench("backward, keys and values only", 4, |problem, qkv, spec| {
            Ok(attention_backward(problem, qkv, spec)?[1..].into())
        });
    }
    benches
}
