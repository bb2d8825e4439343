//! What weights hold before a training.

use super::declare::Declaration;
use crate::Result;
use crate::random::Random;
use crate::tensor::{HostTensor, Shape};

/// How a weight starts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fresh {
    /// All are this number.
    Same(f32),
    /// Normal with this deviation.
    Normal(f32),
}

impl Fresh {
    /// Of a bias 0, and of a normalisation's factors 1; none for other weights.
    pub(crate) fn by_name(declaration: &Declaration) -> Option<Self> {
        let Declaration { name, shape, .. } = declaration;
        if name.ends_with("bias") {
            return Some(Self::Same(0.0));
        }
        (shape.rank() == 1 && name.to_lowercase().contains("norm")).then_some(Self::Same(1.0))
    }

    /// Normal, as wide as keeps the variance of what a layer reads: the root of the inverse of the numbers that make one of its results, all axes
    /// but the first.
    pub(crate) fn keeping_variance(shape: &Shape) -> Self {
        let inner: usize = shape.dims().iter().skip(1).product();
        Self::Normal((inner.max(1) as f32).sqrt().recip())
    }

    /// The numbers, f32.
    pub(crate) fn tensor(self, shape: &Shape, random: &mut Random) -> Result<HostTensor> {
        let elements = shape.elements();
        let numbers = match self {
            Self::Same(number) => vec![number; elements],
            Self::Normal(deviation) => (0..elements).map(|_| deviation * random.next_normal()).collect(),
        };
        HostTensor::f32(shape.clone(), numbers)
    }
}
