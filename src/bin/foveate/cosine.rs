//! How alike two vectors are.

/// `sum_i a_i b_i`, in f64.
pub(crate) fn dot<T: Copy + Into<f64>>(a: &[T], b: &[T]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| a.into() * b.into()).sum()
}

/// The cosine of the angle between two vectors. Of vectors without a direction it is 1 between two zeros, which are alike, and else 0.
pub(crate) fn cosine<T: Copy + Into<f64>>(a: &[T], b: &[T]) -> f64 {
    match (dot(a, a), dot(b, b)) {
        (0.0, 0.0) => 1.0,
        (0.0, _) | (_, 0.0) => 0.0,
        (aa, bb) => dot(a, b) / (aa * bb).sqrt(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_are_like_zeros_alone() {
        assert_eq!(cosine(&[3.0_f32, 4.0], &[-6.0, -8.0]), -1.0);
        assert_eq!(cosine(&[3.0, 4.0], &[4.0, 3.0]), 24.0 / 25.0);
        assert_eq!([cosine(&[0.0; 2], &[0.0; 2]), cosine(&[0.0; 2], &[1.0, 0.0])], [1.0, 0.0]);
    }
}
