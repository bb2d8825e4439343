//! Benchmarks, and conformance cases: one key and many, positions that are none and that are there twice, rows that see nothing, shared heads of
//! keys, head sizes around the vector size.

use super::{NAME, append};
use crate::Result;
use crate::check::{Bench, Case, Problem, Work, exp_ulps};
use crate::graph::Value;
use crate::random::Random;
use crate::tensor::{DType, HostTensor};

#[derive(Clone, Copy, Debug)]
struct Setup {
    dtype: DType,
    /// Batch, queries, keys.
    extents: [usize; 3],
    /// Those of queries, and of keys.
    heads: [usize; 2],
    /// Channels of heads and of values.
    sizes: [usize; 2],
    count: usize,
}

impl Setup {
    fn record(self, problem: &mut Problem) -> Result<Vec<Value>> {
        let Self { dtype, extents: [batch, time, key_time], heads: [heads, kv_heads], sizes, count } = self;
        let query = problem.random("query", dtype, [batch, time, heads, sizes[0]], 1.0)?;
        let key = problem.random("key", dtype, [batch, key_time, kv_heads, sizes[0]], 1.0)?;
        let value = problem.random("value", dtype, [batch, key_time, kv_heads, sizes[1]], 1.0)?;
        let mut random = Random::new(7);
        // A few lie before the first key and behind the last; the last query sees none.
        let position = |at: usize| match at / count % time == time - 1 && time > 1 {
            true => -1,
            false => random.next_below(key_time + 4) as i32 - 2,
        };
        let positions = (0..batch * heads * time * count).map(position).collect();
        let keys = problem.input("keys", HostTensor::i32([batch, heads, time, count], positions)?)?;
        let (out, lse) = append(&mut problem.graph, [query, key, value], keys, 0.25)?;
        Ok(vec![out, lse])
    }
}

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for dtype in [DType::F32, DType::F16] {
        for (extents, heads, sizes, count) in [
            ([1, 1, 1], [1, 1], [4, 4], 1),
            ([2, 37, 37], [2, 2], [8, 12], 5),
            ([2, 9, 70], [4, 2], [16, 3], 7),
            ([1, 65, 33], [3, 1], [5, 8], 32),
        ] {
            let [batch, time, key_time] = extents;
            let label =
                format!("{dtype} {batch} x {time} over {count} of {key_time}, heads {heads:?} of {sizes:?}");
            let setup = Setup { dtype, extents, heads, sizes, count };
            let case = Case::new(NAME, label, move |problem| setup.record(problem));
            // Scores differ by at most 10.
            cases.push(case.builtin_ulps(2.0 * exp_ulps(10.0)));
        }
    }
    cases
}

/// 4 heads of 64; the products of all pairs are counted.
pub(crate) fn benches() -> Vec<Bench> {
    let setup =
        Setup { dtype: DType::F32, extents: [1, 4096, 4096], heads: [4, 4], sizes: [64, 64], count: 16 };
    let work = Work::Flops(4 * 4096 * 16 * 4 * 64);
    vec![Bench::new(NAME, "16 keys each, 4096 tokens", work, move |problem| {
        Ok(vec![setup.record(problem)?[0]])
    })]
}
