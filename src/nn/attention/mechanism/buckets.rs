//! Keys that fall together with a query: into a bucket of hashes, or near a centroid.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::OP;
use super::table::{Settings, Tensors};
use crate::graph::{Graph, Value};
use crate::nn::attention::{Attend, LshBuckets, one_length_a_row, refuse_padding};
use crate::nn::{Layout, Recorder};
use crate::ops::attention::{
    self, balanced_clusters, lsh_attention_with_keys, lsh_buckets, lsh_rotations, routing_attention,
};
use crate::ops::{constant, scale};
use crate::random::Random;
use crate::tensor::HostTensor;
use crate::{Error, ErrorKind, Result};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Lsh {
    chunk: usize,
    #[serde(default = "four")]
    rounds: usize,
    #[serde(default)]
    seed: u64,
    #[serde(default)]
    causal: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Routing {
    clusters: usize,
    window: usize,
    #[serde(default)]
    seed: u64,
    #[serde(default)]
    causal: bool,
}

/// The largest number of buckets that a single rotation tells apart, as [`lsh_bucket_factors`](attention::lsh_bucket_factors) has it.
const MOST_OF_ONE: usize = 64;

fn four() -> usize {
    4
}

impl Settings for Lsh {
    fn at_least_1(&self) -> Vec<(&'static str, u64)> {
        vec![("chunk", self.chunk as u64), ("rounds", self.rounds as u64)]
    }

    fn is_causal(&self) -> bool {
        self.causal
    }

    fn attend(&self, scale: Option<f32>, _: &Tensors<'_>) -> Result<Arc<dyn Attend>> {
        Ok(Arc::new(Hashed { settings: self.clone(), scale }))
    }
}

impl Settings for Routing {
    fn at_least_1(&self) -> Vec<(&'static str, u64)> {
        vec![("clusters", self.clusters as u64), ("window", self.window as u64)]
    }

    fn is_causal(&self) -> bool {
        self.causal
    }

    fn attend(&self, scale: Option<f32>, _: &Tensors<'_>) -> Result<Arc<dyn Attend>> {
        Ok(Arc::new(Routed { settings: self.clone(), scale }))
    }
}

/// `[time, heads, size]` of `query: [batch, time, heads, size]`.
fn extents(graph: &Graph, query: Value) -> Result<[usize; 3]> {
    let desc = graph.desc(query)?;
    let &[_, time, heads, size] = desc.shape.dims() else {
        return Err(Error::new(ErrorKind::Shape, OP, "query").expecting("rank 4").but_found(desc));
    };
    Ok([time, heads, size])
}

/// LSH attention with keys of their own, whose rotations are drawn from a seed.
#[derive(Clone, Debug)]
struct Hashed {
    settings: Lsh,
    scale: Option<f32>,
}

impl Attend for Hashed {
    fn takes_several(&self) -> bool {
        false
    }

    fn record(
        &self,
        recorder: &mut Recorder<'_>,
        query: Value,
        key: Value,
        value: Value,
        layout: &Layout,
    ) -> Result<Value> {
        let Lsh { chunk, rounds, seed, causal } = self.settings;
        let [time, heads, size] = extents(recorder, query)?;
        // Queries and keys of a bucket need not have the same rank: both neighbours are seen.
        let mut spec = attention::Lsh::new(chunk).around(1, 1);
        if causal {
            spec = spec.causal();
        }
        if let Some(lengths) = one_length_a_row(OP, recorder, layout)? {
            spec = spec.lengths(lengths);
        }
        let buckets = match spec.hashes(time) {
            false => None,
            true => {
                let factors = LshBuckets::OfLength { chunk, multiple: chunk, largest_factor: MOST_OF_ONE }
                    .factors(time);
                let rotations = constant(recorder, lsh_rotations([heads, size, rounds], &factors, seed)?)?;
                let of_queries = lsh_buckets(recorder, query, rotations, &factors, &spec)?;
                Some([of_queries, lsh_buckets(recorder, key, rotations, &factors, &spec)?])
            }
        };
        // The op's own is 1 / sqrt(size).
        let query = match self.scale {
            Some(factor) => scale(recorder, query, factor * (size as f32).sqrt())?,
            None => query,
        };
        Ok(lsh_attention_with_keys(recorder, [query, key, value], buckets, &spec)?.out)
    }
}

/// Routing attention whose centroids are random directions, drawn from a seed.
#[derive(Clone, Debug)]
struct Routed {
    settings: Routing,
    scale: Option<f32>,
}

impl Attend for Routed {
    fn takes_several(&self) -> bool {
        false
    }

    /// Padding would take seats in clusters: it is refused.
    fn record(
        &self,
        recorder: &mut Recorder<'_>,
        query: Value,
        key: Value,
        value: Value,
        layout: &Layout,
    ) -> Result<Value> {
        refuse_padding(OP, layout)?;
        let Routing { clusters, window, seed, causal } = self.settings;
        let [time, heads, size] = extents(recorder, query)?;
        let mut random = Random::new(seed);
        let directions = (0..heads * clusters * size).map(|_| random.next_normal()).collect();
        let centroids = constant(recorder, HostTensor::f32([heads, clusters, size], directions)?)?;
        let members = [
            balanced_clusters(recorder, query, centroids, window.min(time))?,
            balanced_clusters(recorder, key, centroids, window.min(time))?,
        ];
        let mut spec = attention::Routing::new();
        if causal {
            spec = spec.causal();
        }
        if let Some(scale) = self.scale {
            spec = spec.scale(scale);
        }
        routing_attention(recorder, query, Some(key), value, members, &spec)
    }
}
