//! Tensors in the arithmetic of the CPU reference: f64, or f32 to learn what f32 itself loses.

use num_traits::Float;

use super::Shape;
use super::gemm::{Strided, dgemm, sgemm};

/// The arithmetic a reference runs in. References are written once, generic over this.
pub trait Real:
    Float + std::ops::AddAssign + std::iter::Sum + std::fmt::Debug + Send + Sync + 'static
{
    /// The nearest value of this arithmetic.
    fn of(x: f64) -> Self;
    /// The same value in f64.
    fn get(self) -> f64;
    /// The error function, which WGSL and `Float` lack.
    fn erf(self) -> Self;
    /// `c = a b` for extents `[rows, inner, columns]`, `c` row-major. Panics when a matrix does not lie within its slice.
    fn gemm(a: Strided<'_, Self>, b: Strided<'_, Self>, c: &mut [Self], extents: [usize; 3]);
}

impl Real for f64 {
    fn of(x: f64) -> Self {
        x
    }
    fn get(self) -> f64 {
        self
    }
    fn erf(self) -> Self {
        libm::erf(self)
    }
    fn gemm(a: Strided<'_, Self>, b: Strided<'_, Self>, c: &mut [Self], extents: [usize; 3]) {
        dgemm(a, b, c, extents);
    }
}

impl Real for f32 {
    fn of(x: f64) -> Self {
        x as f32
    }
    fn get(self) -> f64 {
        self.into()
    }
    fn erf(self) -> Self {
        libm::erff(self)
    }
    fn gemm(a: Strided<'_, Self>, b: Strided<'_, Self>, c: &mut [Self], extents: [usize; 3]) {
        sgemm(a, b, c, extents);
    }
}

/// A row-major tensor of the CPU reference. Contracts fix which of the two kinds an op's argument is.
#[derive(Clone, Debug, PartialEq)]
pub struct Array<R> {
    shape: Shape,
    reals: Vec<R>,
    indices: Vec<i64>,
}

impl<R: Real> Array<R> {
    /// A tensor of real numbers.
    pub fn real(shape: impl Into<Shape>, reals: Vec<R>) -> Self {
        Self { shape: shape.into(), reals, indices: Vec::new() }
    }

    /// A tensor of integers: lengths, ids.
    pub fn index(shape: impl Into<Shape>, indices: Vec<i64>) -> Self {
        Self { shape: shape.into(), reals: Vec::new(), indices }
    }

    /// The shape.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The extents of the axes.
    pub fn dims(&self) -> &[usize] {
        self.shape.dims()
    }

    /// The real elements; none when the tensor holds integers.
    pub fn reals(&self) -> &[R] {
        &self.reals
    }

    /// The integer elements; none when the tensor holds real numbers.
    pub fn indices(&self) -> &[i64] {
        &self.indices
    }

    /// The same elements under another shape of as many elements.
    #[must_use]
    pub fn reshaped(mut self, shape: Shape) -> Self {
        self.shape = shape;
        self
    }

    /// The elements at `places`, as they are, under a shape of as many elements. Places are row-major and must exist.
    #[must_use]
    pub(crate) fn gathered(&self, shape: impl Into<Shape>, places: &[usize]) -> Self {
        fn pick<T: Copy>(elements: &[T], places: &[usize]) -> Vec<T> {
            if elements.is_empty() {
                Vec::new()
            } else {
                places.iter().map(|&place| elements[place]).collect()
            }
        }
        Self { shape: shape.into(), reals: pick(&self.reals, places), indices: pick(&self.indices, places) }
    }

    /// Applies `f` to every real element.
    #[must_use]
    pub fn map(&self, f: impl Fn(R) -> R) -> Self {
        Self {
            shape: self.shape.clone(),
            reals: self.reals.iter().map(|&x| f(x)).collect(),
            indices: self.indices.clone(),
        }
    }
}
