//! The CPU reference. Angles are f64 whatever the arithmetic: what f32 would lose in them is not rounding of the op.

use super::{Pairing, Rotary};
use crate::tensor::{Array, Real};

/// For `x: [batch, time, heads, channels]` and, where they are given, positions.
pub(super) fn forward<R: Real>(
    x: &Array<R>,
    positions: Option<&Array<R>>,
    spec: &Rotary,
    inverse: bool,
) -> Array<R> {
    let [time, heads, channels] = [1, 2, 3].map(|axis| x.dims()[axis]);
    let n = spec.turning(channels);
    let mut y = x.reals().to_vec();
    for (i, head) in y.chunks_exact_mut(channels.max(1)).enumerate() {
        let place = i / heads;
        let position = match positions {
            Some(positions) => positions.indices()[place] as f64,
            None => f64::from(spec.offset) + (place % time) as f64,
        };
        for pair in 0..n / 2 {
            let angle = position / spec.scale * spec.base.powf(-2.0 * pair as f64 / n as f64);
            let (sin, cos) = if inverse { (-angle).sin_cos() } else { angle.sin_cos() };
            let (sin, cos) = (R::of(sin), R::of(cos));
            let [a, b] = match spec.pairing {
                Pairing::Halves => [pair, pair + n / 2],
                Pairing::Interleaved => [2 * pair, 2 * pair + 1],
            };
            (head[a], head[b]) = (head[a] * cos - head[b] * sin, head[b] * cos + head[a] * sin);
        }
    }
    Array::real(x.shape().clone(), y)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::differences::random;

    fn assert_close(found: &Array<f64>, expected: &[f64]) {
        for (i, (found, expected)) in found.reals().iter().zip(expected).enumerate() {
            assert!((found - expected).abs() < 1e-12, "element {i}: {found}, not {expected}");
        }
    }

    /// RoFormer, equation 34: `x * cos + (-x2, x1, -x4, x3, ..) * sin`, each angle twice.
    #[test]
    fn interleaved_pairs_are_roformers() {
        let (time, channels) = (5, 6);
        let x = random([1, time, 1, channels], 1);
        let found = forward(&x, None, &Rotary::new(Pairing::Interleaved), false);
        let mut expected = Vec::new();
        for m in 0..time {
            let row = &x.reals()[m * channels..][..channels];
            let turned: Vec<f64> = row.chunks(2).flat_map(|pair| [-pair[1], pair[0]]).collect();
            for j in 0..channels {
                let theta = 10_000f64.powf(-2.0 * (j / 2) as f64 / channels as f64);
                expected.push(row[j] * (m as f64 * theta).cos() + turned[j] * (m as f64 * theta).sin());
            }
        }
        assert_close(&found, &expected);
    }

    /// LLaMA as in transformers' `modeling_llama.py`, `apply_rotary_pos_emb`: `q * cos + rotate_half(q) * sin`, where `rotate_half` puts the
    /// negated second half before the first, and cos and sin are of the frequencies one after the other, twice.
    #[test]
    fn halves_are_llamas() {
        let (time, channels, base) = (4, 8, 500_000.0);
        let x = random([1, time, 1, channels], 2);
        let spec = Rotary::new(Pairing::Halves).base(base).offset(3);
        let found = forward(&x, None, &spec, false);
        let mut expected = Vec::new();
        for t in 0..time {
            let row = &x.reals()[t * channels..][..channels];
            let rotated: Vec<f64> = row[4..].iter().map(|x| -x).chain(row[..4].iter().copied()).collect();
            for j in 0..channels {
                let inverse_frequency = 1.0 / f64::powf(base, (2 * (j % 4)) as f64 / channels as f64);
                let angle = (t + 3) as f64 * inverse_frequency;
                expected.push(row[j] * angle.cos() + rotated[j] * angle.sin());
            }
        }
        assert_close(&found, &expected);
    }

    #[test]
    fn scaled_positions_are_those_between_and_the_inverse_turns_back() {
        let x = random([2, 6, 3, 8], 3);
        let spec = Rotary::new(Pairing::Halves).channels(4);
        let there = forward(&x, None, &spec.offset(7), false);
        assert_close(&forward(&there, None, &spec.offset(7), true), x.reals());
        let places = |factor: i64| Array::index([2, 6], (0..12).map(|i| i * factor).collect());
        let scaled = forward(&x, Some(&places(4)), &spec.scale(4.0), false);
        assert_close(&scaled, forward(&x, Some(&places(1)), &spec, false).reals());
        // Channels beyond those that turn stay.
        assert!(x.reals().chunks(8).zip(scaled.reals().chunks(8)).all(|(x, y)| x[4..] == y[4..]));
    }
}
