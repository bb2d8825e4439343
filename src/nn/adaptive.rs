//! Embeddings and softmax of large vocabularies that are sorted by frequency and cut into clusters: rare words get fewer channels, and
//! their scores are normalised within their cluster (Grave et al., arXiv 1609.04309; Baevski and Auli, arXiv 1809.10853).
//!
//! Names and formulas as in <https://github.com/kimiyoung/transformer-xl>, `pytorch/mem_transformer.py` (`AdaptiveEmbedding`) and
//! `pytorch/utils/proj_adaptive_softmax.py`. Where that code reads the log-probability of a cluster in reversed order, as it does for more
//! than one when targets are given, this does not.

use std::ops::Range;

use super::{Linear, parameter};
use crate::graph::{Graph, Value};
use crate::ops::{self, Activation};
use crate::tensor::{DType, HostTensor};
use crate::weights::{Scope, Weight};
use crate::{Error, ErrorKind, Result};

/// How a vocabulary is cut into clusters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clusters {
    /// Ids are below this; the most frequent words come first.
    pub vocab_size: usize,
    /// The first id of each cluster but the first.
    pub cutoffs: Vec<usize>,
    /// Channels of a hidden state.
    pub width: usize,
    /// Channels of the embeddings of the first cluster.
    pub embedding: usize,
    /// What the channels of an embedding are divided by from cluster to cluster. With 1, all clusters share one table.
    pub divisor: usize,
}

impl Clusters {
    /// Refuses cutoffs that leave a cluster empty, and embeddings without a channel.
    fn check(&self) -> Result<()> {
        let refused = |argument: &str| Error::new(ErrorKind::Argument, "clusters", argument);
        if self.ranges().any(|ids| ids.is_empty()) {
            return Err(refused("cutoffs")
                .expecting(format!("ascending ids from 1 to below {}", self.vocab_size))
                .but_found(format!("{:?}", self.cutoffs)));
        }
        match (0..=self.cutoffs.len()).map(|cluster| self.channels(cluster)).find(|&channels| channels == 0) {
            Some(_) => Err(refused("embedding")
                .expecting("a channel at least for every cluster")
                .but_found(format!("{} divided by {}", self.embedding, self.divisor))),
            None => Ok(()),
        }
    }

    /// The ids of each cluster.
    fn ranges(&self) -> impl Iterator<Item = Range<usize>> {
        let ends = self.cutoffs.iter().copied().chain([self.vocab_size]);
        [0].into_iter().chain(self.cutoffs.iter().copied()).zip(ends).map(|(start, end)| start..end)
    }

    /// Channels of an embedding of a cluster.
    fn channels(&self, cluster: usize) -> usize {
        let exponent = u32::try_from(cluster).unwrap_or(u32::MAX);
        self.divisor.checked_pow(exponent).and_then(|by| self.embedding.checked_div(by)).unwrap_or(0)
    }

    fn shares_a_table(&self) -> bool {
        self.divisor == 1
    }

    /// Ids and channels of each table: one for each cluster, or one for all.
    fn tables(&self) -> Vec<[usize; 2]> {
        if self.shares_a_table() {
            return vec![[self.vocab_size, self.embedding]];
        }
        self.ranges().enumerate().map(|(cluster, ids)| [ids.len(), self.channels(cluster)]).collect()
    }

    /// Whether hidden states and embeddings differ in their channels, so that there are projections.
    fn projects(&self) -> bool {
        !self.shares_a_table() || self.width != self.embedding
    }
}

/// Embeddings of a vocabulary in clusters.
#[derive(Clone, Debug)]
pub struct AdaptiveEmbedding {
    clusters: Clusters,
    tables: Vec<Weight>,
    /// `[width, channels]` for each table, where there are projections.
    projections: Vec<Weight>,
}

impl AdaptiveEmbedding {
    /// Declares `emb_layers.N.weight` and `emb_projs.N` under `scope`.
    ///
    /// Fails when a cluster has no word or no channel.
    pub fn declare(scope: &mut Scope<'_>, clusters: &Clusters) -> Result<Self> {
        clusters.check()?;
        let (mut tables, mut projections) = (Vec::new(), Vec::new());
        for (number, [ids, channels]) in clusters.tables().into_iter().enumerate() {
            tables.push(scope.weight(&format!("emb_layers.{number}.weight"), [ids, channels])?);
            if clusters.projects() {
                projections.push(scope.weight(&format!("emb_projs.{number}"), [clusters.width, channels])?);
            }
        }
        Ok(Self { clusters: clusters.clone(), tables, projections })
    }

    /// `[.., width]` in `dtype` of `ids: i32 [..]`, times the root of the width.
    pub fn record(&self, graph: &mut Graph, ids: Value, dtype: DType) -> Result<Value> {
        let places = if self.tables.len() == 1 { vec![ids] } else { self.places(graph, ids)? };
        let mut sum: Option<Value> = None;
        for (number, (table, ids)) in self.tables.iter().zip(places).enumerate() {
            let table = parameter(graph, table, dtype)?;
            let mut rows = ops::embedding(graph, &[(table, ids)])?;
            if let Some(projection) = self.projections.get(number) {
                let projection = parameter(graph, projection, dtype)?;
                let spec = ops::Linear::new();
                let spec = sum.map_or(spec, |sum| spec.residual(sum));
                rows = ops::linear(graph, rows, projection, &spec)?;
            }
            sum = Some(rows);
        }
        ops::scale(graph, sum.unwrap_or(ids), (self.clusters.width as f32).sqrt())
    }

    /// The row that each id has in the table of each cluster; of other clusters it is no row of the table, which adds nothing.
    fn places(&self, graph: &mut Graph, ids: Value) -> Result<Vec<Value>> {
        let shape = graph.desc(ids)?.shape.clone();
        let (count, tables) = (shape.elements(), self.tables.len());
        // Running sums of an id and the negated sizes of the clusters before.
        let sizes: Vec<i32> = self.clusters.ranges().map(|ids| -(ids.len() as i32)).collect();
        let sizes = HostTensor::i32([count, tables - 1], sizes[..tables - 1].repeat(count))?;
        let sizes = ops::constant(graph, sizes)?;
        let column = ops::reshape(graph, ids, [count, 1])?;
        let columns = ops::concat(graph, &[column, sizes], 1)?;
        let sums = ops::cumulative_sum(graph, columns, 1, &ops::CumulativeSum::new())?;
        let columns = ops::split(graph, sums, 1, &vec![1; tables])?;
        columns.into_iter().map(|column| ops::reshape(graph, column, shape.clone())).collect()
    }
}

/// The softmax of a vocabulary in clusters: words of the first, and the other clusters, are normalised together; the words of each other
/// cluster among themselves.
#[derive(Clone, Debug)]
pub struct AdaptiveSoftmax {
    clusters: Clusters,
    tables: Vec<Weight>,
    biases: Vec<Weight>,
    /// `[width, channels]` for each cluster, where there are projections.
    projections: Vec<Linear>,
    /// Weight and bias of the scores of all clusters but the first, where there are such.
    others: Option<Linear>,
}

impl AdaptiveSoftmax {
    /// Declares `out_layers.N.weight` and `out_layers.N.bias`, `out_projs.N`, `cluster_weight` and `cluster_bias` under `scope`. `tied` is
    /// the embedding whose tables the scores are made with, and tells for each cluster whether its projection is the embedding's, too.
    ///
    /// Fails when a cluster has no word or no channel, and when there is not one flag for each cluster.
    pub fn declare(
        scope: &mut Scope<'_>,
        clusters: &Clusters,
        tied: Option<(&AdaptiveEmbedding, &[bool])>,
    ) -> Result<Self> {
        clusters.check()?;
        let count = clusters.cutoffs.len() + 1;
        if let Some((_, flags)) = tied.filter(|(_, flags)| flags.len() != count) {
            return Err(Error::new(ErrorKind::Argument, "adaptive softmax", "tied")
                .expecting(format!("{count} flags, one a cluster"))
                .but_found(flags.len()));
        }
        let (mut tables, mut biases, mut projections) = (Vec::new(), Vec::new(), Vec::new());
        for (number, [ids, channels]) in clusters.tables().into_iter().enumerate() {
            let name = format!("out_layers.{number}.weight");
            tables.push(match tied {
                Some((embedding, _)) => copy(scope, &name, &embedding.tables[number])?,
                None => scope.weight(&name, [ids, channels])?,
            });
            biases.push(scope.weight(&format!("out_layers.{number}.bias"), [ids])?);
        }
        for cluster in (0..count).filter(|_| clusters.projects()) {
            let name = format!("out_projs.{cluster}");
            let projection = match tied.filter(|(_, flags)| flags[cluster]) {
                Some((embedding, _)) => {
                    let number = if clusters.shares_a_table() { 0 } else { cluster };
                    copy(scope, &name, &embedding.projections[number])?
                }
                None => scope.weight(&name, [clusters.width, clusters.channels(cluster)])?,
            };
            projections.push(Linear::of_in_out(projection));
        }
        let others = (count > 1).then(|| {
            let weight = scope.weight("cluster_weight", [count - 1, clusters.embedding])?;
            Ok(Linear::of(weight, Some(scope.weight("cluster_bias", [count - 1])?)))
        });
        Ok(Self { clusters: clusters.clone(), tables, biases, projections, others: others.transpose()? })
    }

    /// The natural logarithm of every word's probability, `[.., vocab_size]`, for hidden states `x: [.., width]`.
    pub fn record(&self, graph: &mut Graph, x: Value) -> Result<Value> {
        let last = graph.desc(x)?.shape.rank().saturating_sub(1);
        let mut parts = Vec::new();
        // Of each cluster but the first, the logarithm of its own probability.
        let mut own = Vec::new();
        for (cluster, ids) in self.clusters.ranges().enumerate() {
            let projected = match self.projections.get(cluster) {
                Some(projection) => projection.record(graph, x, Activation::Identity)?,
                None => x,
            };
            let mut scores = self.scores(graph, projected, cluster, ids.clone())?;
            if let (0, Some(others)) = (cluster, &self.others) {
                let of_others = others.record(graph, projected, Activation::Identity)?;
                scores = ops::concat(graph, &[scores, of_others], last)?;
            }
            let mut logarithms = ops::log_softmax(graph, scores)?;
            if cluster == 0 {
                let mut sizes = vec![1; self.clusters.cutoffs.len() + 1];
                sizes[0] = ids.len();
                own = ops::split(graph, logarithms, last, &sizes)?;
                logarithms = own[0];
            } else {
                logarithms = ops::add(graph, logarithms, own[cluster])?;
            }
            parts.push(logarithms);
        }
        ops::concat(graph, &parts, last)
    }

    /// Scores of the words of one cluster: `[.., ids]`.
    fn scores(&self, graph: &mut Graph, x: Value, cluster: usize, ids: Range<usize>) -> Result<Value> {
        let dtype = graph.desc(x)?.dtype;
        let number = if self.clusters.shares_a_table() { 0 } else { cluster };
        let mut layer = [&self.tables[number], &self.biases[number]]
            .map(|weight| parameter(graph, weight, dtype))
            .into_iter()
            .collect::<Result<Vec<_>>>()?;
        if self.clusters.shares_a_table() {
            for rows in &mut layer {
                *rows = ops::slice(graph, *rows, 0, ids.clone())?;
            }
        }
        ops::linear(graph, x, layer[0], &ops::Linear::new().bias(layer[1]))
    }
}

/// `weight`, of which files may hold a copy under `name`.
fn copy(scope: &mut Scope<'_>, name: &str, weight: &Weight) -> Result<Weight> {
    scope.tied(name, weight)?;
    Ok(weight.clone())
}
