//! The discrete Fourier transform of frames whose length is a power of two (Cooley and Tukey, Math. Comp. 19, 1965).

use std::f64::consts::TAU;

/// The transform of frames of `length` numbers.
#[derive(Clone, Debug)]
pub(super) struct Fourier {
    /// `exp(-2 pi i k / length)` for the first half of all `k`, as real and imaginary parts.
    turns: Vec<[f64; 2]>,
}

impl Fourier {
    /// For frames of a power of two of numbers, at least 2.
    pub(super) fn new(length: usize) -> Self {
        debug_assert!(length.is_power_of_two() && length > 1);
        let turn = |k: usize| {
            let angle = -TAU * k as f64 / length as f64;
            [angle.cos(), angle.sin()]
        };
        Self { turns: (0..length / 2).map(turn).collect() }
    }

    /// `|X_k|^2` for k from 0 to half the length, of real numbers with zeros behind them.
    pub(super) fn power(&self, frame: &[f64]) -> Vec<f64> {
        let length = 2 * self.turns.len();
        let bits = length.trailing_zeros();
        let mut numbers = vec![[0.0, 0.0]; length];
        for (at, &number) in frame.iter().take(length).enumerate() {
            numbers[at.reverse_bits() >> (usize::BITS - bits)][0] = number;
        }
        let mut half = 1;
        while half < length {
            let step = length / (2 * half);
            for block in numbers.chunks_exact_mut(2 * half) {
                let (low, high) = block.split_at_mut(half);
                for (k, (a, b)) in low.iter_mut().zip(high).enumerate() {
                    let [cos, sin] = self.turns[k * step];
                    let turned = [b[0] * cos - b[1] * sin, b[0] * sin + b[1] * cos];
                    *b = [a[0] - turned[0], a[1] - turned[1]];
                    *a = [a[0] + turned[0], a[1] + turned[1]];
                }
            }
            half *= 2;
        }
        numbers[..=length / 2].iter().map(|[re, im]| re * re + im * im).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_the_sum_it_is_defined_by() {
        for length in [2usize, 8, 64] {
            let frame: Vec<f64> = (0..length - 1).map(|at| ((at * at) as f64 * 0.7).sin()).collect();
            let found = Fourier::new(length).power(&frame);
            assert_eq!(found.len(), length / 2 + 1);
            for (k, found) in found.into_iter().enumerate() {
                let part = |of: fn(f64) -> f64| -> f64 {
                    let angle = |at: usize| -TAU * (k * at) as f64 / length as f64;
                    frame.iter().enumerate().map(|(at, number)| number * of(angle(at))).sum()
                };
                let expected = part(f64::cos).powi(2) + part(f64::sin).powi(2);
                assert!((found - expected).abs() < 1e-9, "{k} of {length}: {found} {expected}");
            }
        }
    }
}
