//! Clustered attention in the place of softmax attention.

use super::{Attend, one_length_a_row};
use crate::graph::Value;
use crate::nn::{Layout, Recorder};
use crate::ops::attention::{Clustered, LloydClusters, clustered, lloyd_clusters};
use crate::{Error, ErrorKind, Result};

const NAME: &str = "clustered attention";

/// Attention of clusters of queries, which are found anew for each text ([`clustered`], [`lloyd_clusters`]); texts of fewer tokens than
/// clusters have a cluster for each.
#[derive(Clone, Copy, Debug)]
pub struct ClusteredAttention {
    clusters: LloydClusters,
    /// Keys that weigh most for a cluster, of improved attention.
    top: Option<usize>,
    scale: Option<f32>,
}

impl ClusteredAttention {
    /// Plain attention of clusters; scores scaled by `1 / sqrt(head_size)`.
    pub fn new(clusters: LloydClusters) -> Self {
        Self { clusters, top: None, scale: None }
    }

    /// Improved attention: exact scores for the `top` keys that weigh most for a cluster, or all where there are fewer.
    #[must_use]
    pub fn improved(self, top: usize) -> Self {
        Self { top: Some(top), ..self }
    }

    /// The factor of `q . k`.
    #[must_use]
    pub fn scale(self, scale: f32) -> Self {
        Self { scale: Some(scale), ..self }
    }
}

impl Attend for ClusteredAttention {
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
        let [of_query, of_key] = [query, key].map(|value| recorder.desc(value).cloned());
        let (of_query, of_key) = (of_query?, of_key?);
        let (&[_, time, ..], &[_, key_time, ..]) = (of_query.shape.dims(), of_key.shape.dims()) else {
            return Err(Error::new(ErrorKind::Shape, NAME, "query")
                .expecting("queries and keys of rank 4")
                .but_found(format!("{of_query} and {of_key}")));
        };
        let lengths = one_length_a_row(NAME, recorder, layout)?;
        let count = self.clusters.count.min(time);
        let mut spec = Clustered::new(count);
        if let Some(lengths) = lengths {
            spec = spec.lengths(lengths);
        }
        if let Some(scale) = self.scale {
            spec = spec.scale(scale);
        }
        if let Some(top) = self.top {
            spec = spec.improved(top.min(key_time));
        }
        let clusters = lloyd_clusters(recorder, query, lengths, &LloydClusters { count, ..self.clusters })?;
        clustered(recorder, query, key, value, clusters, &spec)
    }
}
