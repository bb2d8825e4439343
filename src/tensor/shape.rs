//! Shapes and descriptors.

use std::fmt;

use super::DType;
use crate::{Error, ErrorKind, Result};

/// The most axes a value can have.
pub const MAX_RANK: usize = 8;

/// The extents of a value's axes, outermost first, in elements.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Shape(Vec<usize>);

impl Shape {
    /// The extents.
    pub fn dims(&self) -> &[usize] {
        &self.0
    }

    /// Number of axes.
    pub fn rank(&self) -> usize {
        self.0.len()
    }

    /// Number of elements; saturates, so that an absurd shape fails a limit check instead of wrapping.
    pub fn elements(&self) -> usize {
        if self.0.contains(&0) { 0 } else { self.0.iter().fold(1, |n, &dim| n.saturating_mul(dim)) }
    }

    /// Product of the axes that are not empty; saturates. Where it fits an index type, so does every stride and offset, empty
    /// axes or not.
    pub(crate) fn span(&self) -> usize {
        self.0.iter().filter(|&&dim| dim > 0).fold(1, |n, &dim| n.saturating_mul(dim))
    }

    /// Row-major strides in elements: how far apart neighbours along each axis lie.
    pub fn strides(&self) -> Vec<usize> {
        let mut strides = vec![1_usize; self.rank()];
        for axis in (1..self.rank()).rev() {
            strides[axis - 1] = strides[axis].saturating_mul(self.0[axis]);
        }
        strides
    }
}

impl<const N: usize> From<[usize; N]> for Shape {
    fn from(dims: [usize; N]) -> Self {
        Self(dims.to_vec())
    }
}

impl From<&[usize]> for Shape {
    fn from(dims: &[usize]) -> Self {
        Self(dims.to_vec())
    }
}

impl From<Vec<usize>> for Shape {
    fn from(dims: Vec<usize>) -> Self {
        Self(dims)
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dims: Vec<String> = self.0.iter().map(usize::to_string).collect();
        f.pad(&format!("[{}]", dims.join(", ")))
    }
}

/// What a value holds: its shape and element type.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TensorDesc {
    /// Extents of the axes, outermost first.
    pub shape: Shape,
    /// Storage of one element.
    pub dtype: DType,
}

impl TensorDesc {
    /// A descriptor from its parts.
    pub fn new(dtype: DType, shape: impl Into<Shape>) -> Self {
        Self { shape: shape.into(), dtype }
    }

    /// An f32 value of this shape.
    pub fn f32(shape: impl Into<Shape>) -> Self {
        Self::new(DType::F32, shape)
    }

    /// An f16 value of this shape.
    pub fn f16(shape: impl Into<Shape>) -> Self {
        Self::new(DType::F16, shape)
    }

    /// An i32 value of this shape.
    pub fn i32(shape: impl Into<Shape>) -> Self {
        Self::new(DType::I32, shape)
    }

    /// A u32 value of this shape.
    pub fn u32(shape: impl Into<Shape>) -> Self {
        Self::new(DType::U32, shape)
    }

    /// Number of elements.
    pub fn elements(&self) -> usize {
        self.shape.elements()
    }

    /// Bytes of the elements, without padding.
    pub fn bytes(&self) -> u64 {
        (self.elements() as u64).saturating_mul(self.dtype.size() as u64)
    }

    /// Bytes of a buffer that holds the value: a whole number of 4-byte words, as bindings must be. A value without
    /// elements still takes one vector, because a binding must hold at least one element of what the shader declares.
    pub fn buffer_bytes(&self) -> u64 {
        match self.bytes() {
            0 => 16,
            bytes => bytes.checked_next_multiple_of(4).unwrap_or(u64::MAX),
        }
    }

    /// Refuses a rank over [`MAX_RANK`].
    pub(crate) fn check_rank(&self, op: &'static str, argument: &str) -> Result<()> {
        if self.shape.rank() <= MAX_RANK {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Shape, op, argument)
            .expecting(format!("at most {MAX_RANK} axes"))
            .but_found(format!("{} in {}", self.shape.rank(), self.shape)))
    }
}

impl fmt::Display for TensorDesc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.dtype, self.shape)
    }
}
