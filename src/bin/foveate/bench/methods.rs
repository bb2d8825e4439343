//! The table of methods. A method is one row: its graph, and which query-key pairs it computes.

use foveate::ops::attention::{Blocked, Mask, blocked};
use foveate::ops::{Heads, Matmul, matmul, scale, softmax};
use foveate::{Error, ErrorKind, Graph, Result, Value};

/// What the others' times are compared with.
pub(crate) const BASELINE: &str = "exact-unfused";

/// Query, key and value, each `[1, time, head, channel]`.
pub(crate) type Qkv = [Value; 3];

/// Appends a method to a graph. The mask is the method's own.
pub(crate) type Build = fn(&mut Graph, Qkv, Band) -> Result<Value>;

/// One way to compute attention of a sequence with itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Method {
    /// Its name, as `--methods` and the reports have it.
    pub(crate) name: &'static str,
    /// What it does, in one line.
    pub(crate) summary: &'static str,
    /// Which keys a query sees. Nothing but these keys decides a row of the result: that is how rows of long results are
    /// verified from few tokens.
    pub(crate) mask: Band,
    pub(crate) build: Build,
    /// How many query-key pairs it computes for a sequence of so many tokens.
    pub(crate) pairs: fn(u64, Band) -> u64,
}

/// Exact full attention as we compute it: what errors and rates go by.
pub(crate) const EXACT: Method = Method {
    name: "blocked-full",
    summary: "exact attention, key tile by key tile",
    mask: mask(None, None),
    build: blocked_with,
    pairs: visible_pairs,
};

/// Every method, the baseline first.
pub(crate) const METHODS: &[Method] = &[
    Method {
        name: BASELINE,
        summary: "matmul, scale, softmax, matmul: every score is stored",
        mask: mask(None, None),
        build: exact_unfused,
        pairs: visible_pairs,
    },
    EXACT,
    Method {
        name: "blocked-causal",
        summary: "the same, each query over itself and the keys before it",
        mask: mask(None, Some(0)),
        build: blocked_with,
        pairs: visible_pairs,
    },
    Method {
        name: "blocked-window",
        summary: "the same, each query over 256 keys: 128 before it, its own and 127 after it",
        mask: mask(Some(128), Some(127)),
        build: blocked_with,
        pairs: visible_pairs,
    },
];

/// How many keys before its own and behind it a query sees; all when absent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Band {
    pub(crate) left: Option<u32>,
    pub(crate) right: Option<u32>,
}

const fn mask(left: Option<u32>, right: Option<u32>) -> Band {
    Band { left, right }
}

/// The pairs that `mask` leaves.
fn visible_pairs(time: u64, mask: Band) -> u64 {
    let side = |bound: Option<u32>| bound.map_or(u64::MAX, u64::from).min(time.saturating_sub(1));
    let (left, right) = (side(mask.left), side(mask.right));
    // A whole band for every query, less what sticks out before the first key and behind the last.
    time * (left + right + 1) - left * (left + 1) / 2 - right * (right + 1) / 2
}

impl Method {
    /// Floating-point operations for `time` tokens: two for every channel of every score and of every weighted value.
    pub(crate) fn flops(&self, time: usize, heads: usize, channels: usize) -> f64 {
        4.0 * (heads * channels) as f64 * (self.pairs)(time as u64, self.mask) as f64
    }
}

fn blocked_with(graph: &mut Graph, [q, k, v]: Qkv, mask: Band) -> Result<Value> {
    blocked(graph, q, k, v, &Blocked::new().mask(Mask::band(mask.left, mask.right)))
}

fn exact_unfused(graph: &mut Graph, [q, k, v]: Qkv, _: Band) -> Result<Value> {
    let channels = graph.desc(q)?.shape.dims()[3];
    let scores = Matmul::new().transpose_b().heads(Heads::Inner, Heads::Inner, Heads::Outer);
    let scores = matmul(graph, q, k, &scores)?;
    let scaled = scale(graph, scores, 1.0 / (channels as f32).sqrt())?;
    let weights = softmax(graph, scaled)?;
    matmul(graph, weights, v, &Matmul::new().heads(Heads::Outer, Heads::Inner, Heads::Inner))
}

/// The methods of `names` in the table's order, or all when there are none.
pub(crate) fn select(names: &[String]) -> Result<Vec<&'static Method>> {
    if let Some(unknown) = names.iter().find(|name| METHODS.iter().all(|method| method.name != name.as_str()))
    {
        let known: Vec<&str> = METHODS.iter().map(|method| method.name).collect();
        return Err(Error::new(ErrorKind::Argument, "bench", "--methods")
            .expecting(known.join(", "))
            .but_found(format!("`{unknown}`")));
    }
    let wanted = |method: &&Method| names.is_empty() || names.iter().any(|name| name == method.name);
    Ok(METHODS.iter().filter(wanted).collect())
}

/// The table as `--help` shows it.
pub(crate) fn help() -> String {
    let rows: Vec<String> =
        METHODS.iter().map(|method| format!("  {:<16}{}", method.name, method.summary)).collect();
    format!("Only these methods, separated by commas:\n{}", rows.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_count_what_the_mask_leaves() {
        let counted = |time: i64, left: i64, right: i64| -> u64 {
            let visible = |i| (0..time).filter(|j| (i - left..=i + right).contains(j)).count();
            (0..time).map(|i| visible(i) as u64).sum()
        };
        let pairs = |name: &str, time: i64| {
            let method = METHODS.iter().find(|method| method.name == name).unwrap();
            (method.pairs)(time as u64, method.mask)
        };
        for time in [1, 2, 127, 128, 129, 130, 300] {
            assert_eq!(pairs("blocked-full", time), counted(time, time, time));
            assert_eq!(pairs("blocked-causal", time), counted(time, time, 0));
            assert_eq!(pairs("blocked-window", time), counted(time, 128, 127), "{time} tokens");
        }
    }
}
