//! Conformance cases: the forward pass's problems with random upstream gradients, and every choice of gradients that are wanted.

use super::super::blocked::cases::{Setup, setups};
use super::super::rules::{Prepared, prepare};
use super::{Attended, NAME, blocked_backward, differentiate};
use crate::Result;
use crate::check::{Bench, Case, Problem, Work};
use crate::graph::Value;
use crate::ops::attention::{Blocked, Forward, Mask, blocked, blocked_for_backward};
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
        let mut label = self.forward.label();
        if self.d_lse {
            label += ", through the log-sum-exp too";
        }
        if self.wanted != ALL {
            let names = ["dq", "dk", "dv"].into_iter().zip(self.wanted);
            let names: Vec<&str> = names.filter_map(|(name, wanted)| wanted.then_some(name)).collect();
            label += &format!(", {} only", names.join(" and "));
        }
        label
    }

    fn build(&self, problem: &mut Problem) -> Result<Vec<Value>> {
        let ([q, k, v], spec) = self.forward.inputs(problem)?;
        let Forward { out, lse, statistics } = blocked_for_backward(&mut problem.graph, q, k, v, &spec)?;
        let mut like = |name, value, dtype| {
            let shape = problem.desc(value)?.shape.clone();
            problem.random(name, dtype, shape, 1.0)
        };
        let d_out = like("d_out", out, self.forward.dtype)?;
        let d_lse = if self.d_lse { Some(like("d_lse", lse, DType::F32)?) } else { None };
        let attended = Attended { out, statistics, d_out, d_lse };
        let graph = &mut problem.graph;
        // As a step's own backward pass, for rules that multiply queries and keys, and for the sums that others are made of.
        let Prepared { rule, query, tensors, .. } = prepare(NAME, &spec, graph, [q, k, v])?;
        let found = differentiate(graph, &rule, [query, k, v], &tensors, &attended)?;
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

/// Fewer than the forward pass has, whose files these are for the most part, as is f16: each is a pair of shaders to compile.
const SIZES: &[(usize, usize)] = &[(31, 31), (64, 64), (256, 256), (5, 128), (256, 1), (24, 7)];

pub(crate) fn cases() -> Vec<Case> {
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
pub(crate) fn benches() -> Vec<Bench> {
    let mut benches = Vec::new();
    for (name, mask) in [("1024 x 4 heads of 64, f32", Mask::full()), ("the same, causal", Mask::causal())] {
        let spec = Blocked::new().mask(mask);
        let product = 2 * 4 * 1024 * 1024 * 64;
        let shape = [1, 1024, 4, 64];
        let forward = spec.clone();
        benches.push(Bench::new(
            NAME,
            format!("{name}, forward"),
            Work::Flops(2 * product),
            move |problem| {
                let mut rows = |name| problem.random(name, DType::F32, shape, 1.0);
                let (query, key, value) = (rows("query")?, rows("key")?, rows("value")?);
                Ok(vec![blocked(&mut problem.graph, query, key, value, &forward)?])
            },
        ));
        for (part, wanted, products) in [
            ("backward", 0..3, 5),
            ("backward, queries only", 0..1, 3),
            ("backward, keys and values only", 1..3, 4),
        ] {
            let (label, spec) = (format!("{name}, {part}"), spec.clone());
            benches.push(Bench::new(NAME, label, Work::Flops(products * product), move |problem| {
                let mut rows = |name| problem.random(name, DType::F32, shape, 1.0);
                let (query, key, value) = (rows("query")?, rows("key")?, rows("value")?);
                let (out, d_out) = (rows("out")?, rows("d_out")?);
                // Maxima of 0 and sums of 1: what they are changes no time.
                let statistics = HostTensor::f32([1, 4, 1024, 2], [0.0, 1.0].repeat(4 * 1024))?;
                let statistics = problem.input("statistics", statistics)?;
                let attended = Attended { out, statistics, d_out, d_lse: None };
                let gradients = blocked_backward(&mut problem.graph, query, key, value, &attended, &spec)?;
                Ok(gradients[wanted.clone()].to_vec())
            }));
        }
    }
    benches
}
