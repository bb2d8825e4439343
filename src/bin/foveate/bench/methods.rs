//! The table of methods. A method is one row: its graph, and which query-key pairs it computes.

use foveate::ops::attention::{Blocked, Mask, blocked};
use foveate::ops::{Heads, Matmul, matmul, scale, softmax};
use foveate::{Error, ErrorKind, Graph, Result, Value};

/// What the others' times are compared with.
pub(crate) const BASELINE: &str = "exact-unfused";

/// Query, key and value, each `[1, time, head, channel]`.
pub(crate) type Qkv = [Value; 3];

/// Appends a method to a graph.
pub(crate) type Build = fn(&mut Graph, Qkv) -> Result<Value>;

/// One way to compute attention of a sequence with itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Method {
    /// Its name, as `--methods` and the reports have it.
    pub(crate) name: &'static str,
    /// What it does, in one line.
    pub(crate) summary: &'static str,
    /// Appends it to a graph. Called with only the last queries and all keys, it must give the last rows of the full result:
    /// that is how long rows are verified.
    pub(crate) build: Build,
    /// How many query-key pairs it computes for a sequence of so many tokens.
    pub(crate) pairs: fn(u64) -> u64,
}

/// Exact full attention as we compute it: what errors and rates go by.
pub(crate) const EXACT: Method = Method {
    name: "blocked-full",
    summary: "exact attention, key tile by key tile",
    build: |graph, [q, k, v]| blocked(graph, q, k, v, &Blocked::new()),
    pairs: |time| time * time,
};

/// Keys on either side of a query in the windowed row.
const WINDOW: u32 = 128;

/// Every method, the baseline first.
pub(crate) const METHODS: &[Method] = &[
    Method {
        name: BASELINE,
        summary: "matmul, scale, softmax, matmul: every score is stored",
        build: exact_unfused,
        pairs: |time| time * time,
    },
    EXACT,
    Method {
        name: "blocked-causal",
        summary: "the same, each query over itself and the keys before it",
        build: |graph, [q, k, v]| blocked(graph, q, k, v, &Blocked::new().mask(Mask::causal())),
        pairs: |time| time * (time + 1) / 2,
    },
    Method {
        name: "blocked-window",
        summary: "the same, each query over 128 keys before and 128 after it",
        build: |graph, [q, k, v]| blocked(graph, q, k, v, &Blocked::new().mask(Mask::window(WINDOW, WINDOW))),
        pairs: |time| {
            let side = u64::from(WINDOW).min(time.saturating_sub(1));
            // A whole window for every query, less what sticks out at the two ends.
            time * (2 * side + 1) - side * (side + 1)
        },
    },
];

fn exact_unfused(graph: &mut Graph, [q, k, v]: Qkv) -> Result<Value> {
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
        let pairs = |name: &str| METHODS.iter().find(|method| method.name == name).unwrap().pairs;
        for time in [1, 2, 128, 129, 130, 300] {
            assert_eq!(pairs("blocked-full")(time as u64), counted(time, time, time));
            assert_eq!(pairs("blocked-causal")(time as u64), counted(time, time, 0));
            assert_eq!(pairs("blocked-window")(time as u64), counted(time, 128, 128), "{time} tokens");
        }
    }
}
