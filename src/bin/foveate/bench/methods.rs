//! The table of methods. A method is one row: which pairs of queries and keys it computes, and how. Behind those stand the mechanisms of
//! [`MECHANISMS`] that are no masks, with the settings that are examples there.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use foveate::nn::{Layout, MECHANISMS, Mechanism, MechanismExtents, MechanismRow, Recorder};
use foveate::ops::attention::{Blocked, blocked};
use foveate::ops::{Heads, Matmul, constant, matmul, scale, softmax};
use foveate::{Error, ErrorKind, Graph, HostTensor, Result, Value};
use serde::Serialize;

use super::patterns::{self, Extent, Make, Pattern, WINDOW, band};
use super::verify::MOST_WHOLE;

/// What the others' times are compared with.
pub(crate) const BASELINE: &str = "exact-unfused";

/// Query, key and value, each `[1, time, head, channel]`.
pub(crate) type Qkv = [Value; 3];

/// Appends a method to a graph, under a rule: its own, or that of an excerpt.
pub(crate) type Build = fn(&mut Graph, Qkv, &Blocked) -> Result<Value>;

/// One way to compute attention of a sequence with itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Method {
    /// Its name, as `--methods` and the reports have it.
    pub(crate) name: &'static str,
    /// What it does, in one line.
    pub(crate) summary: &'static str,
    pub(crate) exact: Exact,
    pub(crate) way: Way,
}

/// How a method is made.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Way {
    /// From some of the pairs of exact attention, or all.
    Pairs { pattern: Make, build: Build },
    /// By another formula, with the settings of the row and tensors that need no training.
    Mechanism(&'static MechanismRow),
}

/// The exact attention that a method leaves keys out of, or all of which it computes: what it is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum Exact {
    /// Over every key.
    #[serde(rename = "full")]
    Full,
    /// Over the query's own key and those before it.
    #[serde(rename = "causal")]
    Causal,
    /// Over the keys before the query's own.
    #[serde(rename = "strictly causal")]
    StrictlyCausal,
}

impl Exact {
    /// How many keys, from the first on, a query sees among `time`.
    pub(crate) fn keys(self, query: usize, time: usize) -> usize {
        match self {
            Self::Full => time,
            Self::Causal => query + 1,
            Self::StrictlyCausal => query,
        }
    }

    /// As reports have it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Causal => "causal",
            Self::StrictlyCausal => "strictly causal",
        }
    }
}

/// Exact full attention as we compute it: what rates go by.
pub(crate) const EXACT: Method = Method {
    name: "blocked-full",
    summary: "exact attention, key tile by key tile",
    exact: Exact::Full,
    way: Way::Pairs { pattern: every_pair, build: blocked_with },
};

fn every_pair(extent: Extent) -> Result<Box<dyn Pattern>> {
    band(extent, None, None)
}

/// A method that is the same kernel under another rule.
const fn ruled(name: &'static str, exact: Exact, pattern: Make, summary: &'static str) -> Method {
    Method { name, summary, exact, way: Way::Pairs { pattern, build: blocked_with } }
}

/// Every method, the baseline first.
pub(crate) static METHODS: LazyLock<Vec<Method>> = LazyLock::new(|| {
    let mechanism = |row: &'static MechanismRow| Method {
        name: row.name,
        summary: row.summary,
        exact: Exact::Full,
        way: Way::Mechanism(row),
    };
    PAIRED.iter().copied().chain(MECHANISMS.iter().filter(|row| !row.is_mask).map(mechanism)).collect()
});

/// Those that compute pairs of exact attention.
pub(crate) const PAIRED: &[Method] = &[
    Method {
        name: BASELINE,
        summary: "matmul, scale, softmax, matmul: every score is stored",
        way: Way::Pairs { pattern: every_pair, build: exact_unfused },
        ..EXACT
    },
    EXACT,
    ruled(
        "blocked-causal",
        Exact::Causal,
        |extent| band(extent, None, Some(0)),
        "the same, each query over itself and the keys before it",
    ),
    ruled(
        "blocked-window",
        Exact::Full,
        |extent| band(extent, Some(WINDOW[0]), Some(WINDOW[1])),
        "the same, each query over 256 keys: 128 before it, its own and 127 after it",
    ),
    ruled(
        "longformer",
        Exact::Full,
        patterns::longformer,
        "that window, and two tokens, the first and the middle one, that see all and are seen by all",
    ),
    ruled(
        "bigbird",
        Exact::Full,
        patterns::big_bird,
        "blocks of 64: a window of 3, the first and the last seen by all and seeing all, 3 at random (seed 0)",
    ),
    ruled(
        "strided",
        Exact::Causal,
        patterns::strided,
        "Sparse Transformer: the last s keys, own included, and every s-th before; s is 2^ceil(log2(length) / 2), \
         at least 16",
    ),
    ruled(
        "fixed",
        Exact::Causal,
        patterns::fixed,
        "Sparse Transformer: the own block of that s up to the query, and the last 8 keys of each block before it",
    ),
    ruled(
        "log-sparse",
        Exact::Causal,
        patterns::log_sparse,
        "the last 16 keys, own included, and those 1, 2, 4, 8, .. before the first of them",
    ),
    ruled(
        "adaptive-span",
        Exact::StrictlyCausal,
        patterns::adaptive_span,
        "keys before the own, as far back as the head's span, from 32 to 1024 over the heads, and a ramp of 32",
    ),
];

impl Method {
    /// The pairs that it computes; none of a mechanism, which computes other things.
    pub(crate) fn pattern(&self, extent: Extent) -> Result<Option<Box<dyn Pattern>>> {
        match self.way {
            Way::Pairs { pattern, .. } => pattern(extent).map(Some),
            Way::Mechanism(_) => Ok(None),
        }
    }

    /// How many pairs of query and key it computes, over all heads.
    pub(crate) fn pairs(&self, extent: Extent) -> Result<Option<u64>> {
        let Some(pattern) = self.pattern(extent)? else { return Ok(None) };
        let seen = |head, query| pattern.keys(head, query).iter().map(|keys| keys.len() as u64).sum::<u64>();
        let of_head = |head| (0..extent.time).map(|query| seen(head, query)).sum::<u64>();
        Ok(Some((0..extent.heads).map(of_head).sum()))
    }

    /// What a run is proportional to: pairs, or of mechanisms tokens. A length that is refused is refused in no time.
    pub(crate) fn work(&self, extent: Extent) -> f64 {
        self.pairs(extent).map_or(0, |pairs| pairs.unwrap_or(extent.time as u64)) as f64
    }

    /// Floating-point operations: two for every channel of every score and of every weighted value.
    pub(crate) fn flops(&self, extent: Extent, channels: usize) -> Result<Option<f64>> {
        Ok(self.pairs(extent)?.map(|pairs| 4.0 * channels as f64 * pairs as f64))
    }

    /// Appends it to a graph, under its own rule.
    pub(crate) fn append(&self, graph: &mut Graph, qkv: Qkv) -> Result<Value> {
        match self.way {
            Way::Pairs { pattern, build } => {
                let dims = graph.desc(qkv[0])?.shape.dims();
                let rule = pattern(Extent { time: dims[1], heads: dims[2] })?.rule(graph)?;
                build(graph, qkv, &rule)
            }
            Way::Mechanism(row) => append_mechanism(row, graph, qkv),
        }
    }
}

fn append_mechanism(row: &MechanismRow, graph: &mut Graph, [q, k, v]: Qkv) -> Result<Value> {
    let mechanism = Mechanism::parse(row.name, row.example().as_bytes())?;
    let desc = graph.desc(q)?.clone();
    let dims = desc.shape.dims();
    let extents = MechanismExtents { time: dims[1], heads: dims[2], size: dims[3] };
    let mut values = BTreeMap::new();
    for (name, tensor) in mechanism.untrained(extents)? {
        let tensor = HostTensor::from_f32(desc.dtype, tensor.shape().clone(), &tensor.to_f32())?;
        values.insert(name, constant(graph, tensor)?);
    }
    let attend = mechanism.attend_with(&values)?;
    attend.record(&mut Recorder::new(graph, desc.dtype), q, k, v, &Layout::Rows)
}

fn blocked_with(graph: &mut Graph, [q, k, v]: Qkv, rule: &Blocked) -> Result<Value> {
    blocked(graph, q, k, v, rule)
}

/// Of every pair, which is what its rule shows, too.
fn exact_unfused(graph: &mut Graph, [q, k, v]: Qkv, _: &Blocked) -> Result<Value> {
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
        PAIRED.iter().map(|method| format!("  {:<16}{}", method.name, method.summary)).collect();
    let mechanism = |row: &&MechanismRow| !row.is_mask;
    let mechanisms: Vec<String> = MECHANISMS
        .iter()
        .filter(mechanism)
        .map(|row| format!("  {:<16}{}\n                  {}", row.name, row.example(), row.summary))
        .collect();
    format!(
        "Only these methods, separated by commas:\n{}\nand mechanisms, with these settings, and tensors that need no training (projections that are \
         means of neighbours, heads that keep to themselves). Each is held to its f64 reference in a short call, and up to {MOST_WHOLE} tokens as a whole:\n{}",
        rows.join("\n"),
        mechanisms.join("\n")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(name: &str, time: usize, heads: usize) -> u64 {
        let method = METHODS.iter().find(|method| method.name == name).unwrap();
        method.pairs(Extent { time, heads }).unwrap().unwrap()
    }

    #[test]
    fn pairs_count_what_the_rules_leave() {
        let counted = |time: i64, left: i64, right: i64| -> u64 {
            let visible = |i| (0..time).filter(|j| (i - left..=i + right).contains(j)).count();
            (0..time).map(|i| visible(i) as u64).sum()
        };
        for time in [1, 2, 127, 128, 129, 130, 300] {
            let extent = time as usize;
            assert_eq!(pairs("blocked-full", extent, 1), counted(time, time, time));
            assert_eq!(pairs("blocked-causal", extent, 2), 2 * counted(time, time, 0));
            assert_eq!(pairs("blocked-window", extent, 1), counted(time, 128, 127), "{time} tokens");
        }
        // Two rows of all keys; the first token comes to rows 129 to 511, and the middle one to 0 to 128 and 385 to 511, less those
        // two rows themselves.
        let window = counted(512, 128, 127);
        let in_full_rows = 2 * 512 - 128 - 256;
        assert_eq!(pairs("longformer", 512, 1), window + in_full_rows + (383 - 1) + (129 - 1 + 127));
        // Strides of 32: row i has min(i + 1, 32) and i / 32 keys.
        assert_eq!(pairs("strided", 512, 1), 32 * 33 / 2 + 480 * 32 + 32 * (15 * 16 / 2));
        assert_eq!(pairs("fixed", 512, 1), 16 * (32 * 33 / 2) + 8 * 32 * (15 * 16 / 2));
        assert_eq!(pairs("adaptive-span", 2000, 1), (1..64).sum::<u64>() + (2000 - 64) * 63);
    }
}
