//! Random projections for random features: drawn on the host from a counter-based generator, so that a draw is a function of seed, stream and
//! number alone, and the same in training, in a replay and after loading.

use std::f64::consts::TAU;

use super::NAME;
use crate::graph::{Graph, Value};
use crate::ops::constant;
use crate::ops::philox::philox;
use crate::tensor::{DType, HostTensor};
use crate::{Error, ErrorKind, Result};

/// Lengths of a projection's rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum RowNorms {
    /// As of normal vectors of that size, independent of the rows' directions: estimates of the softmax kernel have no bias then.
    #[default]
    OfNormal,
    /// The square root of the size, the mean of the former (`scaling = 1` in the published code): less variance, but a bias.
    RootOfSize,
}

/// A matrix `[count, size]` whose rows are random directions: what [`softmax_kernel_features`](super::softmax_kernel_features) and
/// [`generalized_kernel_features`](super::generalized_kernel_features) multiply with.
///
/// Rows are orthogonal within blocks of `size` rows, each block drawn by itself, the last one cut (Choromanski et al., arXiv 2009.14794, section
/// 2.4): errors of estimates are smaller than with independent rows. A block is uniform among all orthogonal matrices (Gram-Schmidt on normal
/// rows, whose triangular factor has a positive diagonal). Another `draw` is another matrix; nothing is redrawn unless it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RandomProjection {
    /// Rows: features.
    pub count: usize,
    /// Channels of queries and keys.
    pub size: usize,
    /// The seed of the model.
    pub seed: u64,
    /// The number of the layer: layers of one seed draw different matrices.
    pub stream: u32,
    /// Which matrix of the stream.
    pub draw: u32,
    /// Whether rows are orthogonal within blocks; if not, each is drawn by itself.
    pub is_orthogonal: bool,
    /// How long rows are.
    pub norms: RowNorms,
}

/// What numbers are for: counters of different purposes differ.
const DIRECTIONS: u32 = 0;
const LENGTHS: u32 = 1;

impl RandomProjection {
    /// The first matrix of stream 0 of seed 0: orthogonal rows as long as normal ones.
    pub fn new(count: usize, size: usize) -> Self {
        let norms = RowNorms::OfNormal;
        Self { count, size, seed: 0, stream: 0, draw: 0, is_orthogonal: true, norms }
    }

    /// Another seed.
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// Another stream of the seed: that of another layer.
    #[must_use]
    pub fn stream(self, stream: u32) -> Self {
        Self { stream, ..self }
    }

    /// The matrix number `draw` of the stream.
    #[must_use]
    pub fn draw(self, draw: u32) -> Self {
        Self { draw, ..self }
    }

    /// Rows that are drawn each by itself.
    #[must_use]
    pub fn independent(self) -> Self {
        Self { is_orthogonal: false, ..self }
    }

    /// Other lengths of rows.
    #[must_use]
    pub fn norms(self, norms: RowNorms) -> Self {
        Self { norms, ..self }
    }

    /// The matrix, in a float type. Fails when it has no rows or columns, too many of them, or `dtype` is no float.
    pub fn tensor(&self, dtype: DType) -> Result<HostTensor> {
        for (argument, found) in [("count", self.count), ("size", self.size)] {
            if found == 0 || found > MOST {
                return Err(Error::new(ErrorKind::Argument, NAME, format!("projection's {argument}"))
                    .expecting(format!("1 to {MOST}"))
                    .but_found(found));
            }
        }
        let mut rows = Vec::with_capacity(self.count * self.size);
        for first in (0..self.count).step_by(self.size) {
            let mut block = self.normal_rows(DIRECTIONS, first, self.size);
            let wanted = self.size.min(self.count - first);
            if self.is_orthogonal {
                orthogonalize(&mut block, self.size, wanted);
            }
            rows.extend_from_slice(&block[..wanted * self.size]);
        }
        let of_lengths = self.normal_rows(LENGTHS, 0, self.count);
        for (row, of_length) in rows.chunks_exact_mut(self.size).zip(of_lengths.chunks_exact(self.size)) {
            let length = match (self.is_orthogonal, self.norms) {
                (_, RowNorms::RootOfSize) => (self.size as f64).sqrt() / norm(row),
                (true, RowNorms::OfNormal) => norm(of_length),
                (false, RowNorms::OfNormal) => 1.0,
            };
            row.iter_mut().for_each(|x| *x *= length);
        }
        let rows: Vec<f32> = rows.into_iter().map(|x| x as f32).collect();
        HostTensor::from_f32(dtype, [self.count, self.size], &rows)
    }

    /// The matrix as data of a graph. Fails as [`RandomProjection::tensor`] does.
    pub fn constant(&self, graph: &mut Graph, dtype: DType) -> Result<Value> {
        constant(graph, self.tensor(dtype)?)
    }

    /// `count` rows of normal numbers from row `first` on.
    fn normal_rows(&self, purpose: u32, first: usize, count: usize) -> Vec<f64> {
        let key = [self.seed as u32, (self.seed >> 32) as u32];
        let row = |row: usize| {
            let quads = (0..self.size.div_ceil(4)).flat_map(move |quad| {
                let place = (row * self.size.div_ceil(4) + quad) as u32;
                normal(philox([place, self.draw, self.stream, purpose], key))
            });
            quads.take(self.size)
        };
        (first..first + count).flat_map(row).collect()
    }
}

/// Rows and columns that a matrix may have: their product counts packs of four in u32.
const MOST: usize = 1 << 16;

/// Normal numbers of variance 1 from uniform ones (Box and Muller 1958).
fn normal(numbers: [u32; 4]) -> [f64; 4] {
    let unit = numbers.map(|number| (f64::from(number) + 0.5) / 2f64.powi(32));
    let pair = |a: f64, b: f64| {
        let radius = (-2.0 * a.ln()).sqrt();
        [radius * (TAU * b).cos(), radius * (TAU * b).sin()]
    };
    let ([a, b], [c, d]) = (pair(unit[0], unit[1]), pair(unit[2], unit[3]));
    [a, b, c, d]
}

fn norm(row: &[f64]) -> f64 {
    row.iter().map(|x| x * x).sum::<f64>().sqrt()
}

/// The first `count` rows of `size` numbers made orthogonal and of length 1, each less its share in those before, twice, as once loses digits.
fn orthogonalize(rows: &mut [f64], size: usize, count: usize) {
    for at in 0..count {
        let (before, rest) = rows.split_at_mut(at * size);
        let row = &mut rest[..size];
        for _ in 0..2 {
            for other in before.chunks_exact(size) {
                let share: f64 = row.iter().zip(other).map(|(a, b)| a * b).sum();
                row.iter_mut().zip(other).for_each(|(a, b)| *a -= share * b);
            }
        }
        let length = norm(row);
        row.iter_mut().for_each(|x| *x /= length);
    }
}
