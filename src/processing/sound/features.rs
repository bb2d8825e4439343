//! Log-mel features of speech, and waves of mean 0 and variance 1.

use super::fourier::Fourier;
use crate::{Error, ErrorKind, Result};

/// Of a frame, and from one frame's start to the next one's, in thousandths of a second.
const FRAME: usize = 25;
const HOP: usize = 10;

/// What is kept of a sample in the next one.
const EMPHASIS: f64 = 0.97;

/// The lowest frequency of the lowest filter, in hertz.
const LOWEST: f64 = 20.0;

/// The least energy whose logarithm is taken: the distance from 1 to the next f32.
const LEAST_ENERGY: f64 = f32::EPSILON as f64;

/// Added to variances.
const EPS: f64 = 1e-7;

/// Log-mel filterbank features as Kaldi computes them, without dither (<https://kaldi-asr.org/doc/feat.html>), and the feature extractors of
/// Speech2Text and SeamlessM4T after it.
///
/// Samples are taken as 16-bit numbers. Every hundredth of a second a frame of 25 ms: without its mean; each sample less 0.97 of the one before;
/// a window, `(0.5 - 0.5 cos)^0.85`; the power of its spectrum through triangles that lie evenly between 20 Hz and half the rate on the mel scale,
/// `1127 ln(1 + f / 700)`; the logarithm. Only whole frames are taken.
#[derive(Clone, Debug)]
pub struct LogMel {
    frame: usize,
    hop: usize,
    window: Vec<f64>,
    fourier: Fourier,
    /// Of each bin the first coefficient of the spectrum that counts, and the weights from there on.
    filters: Vec<(usize, Vec<f64>)>,
}

impl LogMel {
    /// For sound of `rate` samples a second, with `bins` numbers for each frame.
    ///
    /// Fails when the rate is not from 1 to 384 kHz in steps of 100 Hz, without bins, and for more bins than the spectrum has coefficients.
    pub fn new(rate: usize, bins: usize) -> Result<Self> {
        let refused = |argument| Error::new(ErrorKind::Argument, "log-mel features", argument);
        if !(1_000..=384_000).contains(&rate) || !rate.is_multiple_of(100) {
            let expected = "1000 to 384000 samples a second, a multiple of 100";
            return Err(refused("rate").expecting(expected).but_found(rate));
        }
        let (frame, hop) = (rate * FRAME / 1000, rate * HOP / 1000);
        let length = frame.next_power_of_two();
        if !(1..=length / 2).contains(&bins) {
            return Err(refused("bins").expecting(format!("1 to {}", length / 2)).but_found(bins));
        }
        let window = |at: usize| {
            let angle = std::f64::consts::TAU * at as f64 / (frame - 1) as f64;
            (0.5 - 0.5 * angle.cos()).powf(0.85)
        };
        Ok(Self {
            frame,
            hop,
            window: (0..frame).map(window).collect(),
            fourier: Fourier::new(length),
            filters: filters(rate, length, bins),
        })
    }

    /// Numbers of a frame.
    pub fn bins(&self) -> usize {
        self.filters.len()
    }

    /// Frames of so many samples.
    pub fn frames(&self, samples: usize) -> usize {
        samples.checked_sub(self.frame).map_or(0, |rest| rest / self.hop + 1)
    }

    /// The features of samples from -1 to 1, `[frames, bins]`: nothing of fewer samples than a frame has.
    pub fn features(&self, samples: &[f32]) -> Vec<f32> {
        let mut features = Vec::with_capacity(self.frames(samples.len()) * self.bins());
        for frame in samples.windows(self.frame).step_by(self.hop) {
            let power = self.fourier.power(&self.prepared(frame));
            features.extend(self.filters.iter().map(|(first, weights)| {
                let energy: f64 =
                    weights.iter().zip(&power[*first..]).map(|(weight, power)| weight * power).sum();
                energy.max(LEAST_ENERGY).ln() as f32
            }));
        }
        features
    }

    /// A frame without its mean, emphasised and in its window.
    fn prepared(&self, frame: &[f32]) -> Vec<f64> {
        let scaled: Vec<f64> = frame.iter().map(|&sample| f64::from(sample) * 32_768.0).collect();
        let mean = scaled.iter().sum::<f64>() / scaled.len() as f64;
        // The first sample stands for the one before it.
        let before = [scaled[0]].into_iter().chain(scaled.iter().copied());
        let emphasised = scaled.iter().zip(before).map(|(sample, before)| {
            let (sample, before) = (sample - mean, before - mean);
            sample - EMPHASIS * before
        });
        emphasised.zip(&self.window).map(|(sample, window)| sample * window).collect()
    }
}

/// Triangles of height 1 on the mel scale over the coefficients of a spectrum of `length` numbers. The last coefficient, half the rate, counts
/// nowhere.
fn filters(rate: usize, length: usize, bins: usize) -> Vec<(usize, Vec<f64>)> {
    let mel = |hertz: f64| 1127.0 * (hertz / 700.0).ln_1p();
    let (low, high) = (mel(LOWEST), mel(rate as f64 / 2.0));
    let step = (high - low) / (bins + 1) as f64;
    let of_coefficient: Vec<f64> =
        (0..length / 2).map(|k| mel(k as f64 * rate as f64 / length as f64)).collect();
    let filter = |bin: usize| {
        let centre = low + (bin + 1) as f64 * step;
        let weight = |mel: &f64| 1.0 - (mel - centre).abs() / step;
        let first = of_coefficient.iter().position(|mel| weight(mel) > 0.0).unwrap_or_default();
        let weights = of_coefficient[first..].iter().map(weight).take_while(|weight| *weight > 0.0);
        (first, weights.collect())
    };
    (0..bins).map(filter).collect()
}

/// Features `[frames, bins]` with each bin of mean 0 and variance 1 over the frames of an utterance: `(x - mean) / sqrt(variance + 1e-7)`, the
/// variance with one frame less. A single frame gives zeros.
pub fn normalised_bins(features: &[f32], bins: usize) -> Vec<f32> {
    let frames = features.len() / bins.max(1);
    let column = |bin: usize| features.iter().skip(bin).step_by(bins.max(1)).map(|&x| f64::from(x));
    let moments: Vec<(f64, f64)> = (0..bins)
        .map(|bin| {
            let mean = column(bin).sum::<f64>() / frames as f64;
            let squares: f64 = column(bin).map(|x| (x - mean).powi(2)).sum();
            (mean, squares / (frames.max(2) - 1) as f64)
        })
        .collect();
    let rows = features.chunks_exact(bins.max(1));
    rows.flat_map(|row| row.iter().zip(&moments))
        .map(|(&x, (mean, variance))| ((f64::from(x) - mean) / (variance + EPS).sqrt()) as f32)
        .collect()
}

/// Samples of mean 0 and variance 1: `(x - mean) / sqrt(variance + 1e-7)`, as the feature extractor of Wav2Vec2 has it.
pub fn normalised(samples: &[f32]) -> Vec<f32> {
    let count = samples.len().max(1) as f64;
    let mean = samples.iter().map(|&x| f64::from(x)).sum::<f64>() / count;
    let variance = samples.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / count;
    let deviation = (variance + EPS).sqrt();
    samples.iter().map(|&x| ((f64::from(x) - mean) / deviation) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waves_and_bins_have_mean_0_and_variance_1() {
        let wave = normalised(&[1.0, 3.0, 1.0, 3.0]);
        assert!(wave.iter().zip([-1.0, 1.0, -1.0, 1.0]).all(|(x, y): (&f32, f32)| (x - y).abs() < 1e-6));
        assert_eq!(normalised(&[0.5; 3]), [0.0; 3]);
        let bins = normalised_bins(&[1.0, 5.0, 3.0, 5.0], 2);
        let half = 0.5f32.sqrt();
        let expected = [-half, 0.0, half, 0.0];
        assert!(bins.iter().zip(expected).all(|(x, y)| (x - y).abs() < 1e-6), "{bins:?}");
        assert_eq!(normalised_bins(&[2.0, 3.0], 2), [0.0, 0.0]);
        assert!(normalised_bins(&[], 2).is_empty() && normalised(&[]).is_empty());
    }

    #[test]
    fn frames_are_whole_and_a_tone_is_loudest_in_its_filter() {
        let mel = LogMel::new(16_000, 40).unwrap();
        assert_eq!([399, 400, 559, 560].map(|samples| mel.frames(samples)), [0, 1, 1, 2]);
        assert!(mel.features(&[0.0; 399]).is_empty());
        let tone: Vec<f32> =
            (0..400).map(|at| (at as f32 * std::f32::consts::TAU * 1000.0 / 16_000.0).sin()).collect();
        let features = mel.features(&tone);
        let loudest = (0..40).max_by(|a, b| features[*a].total_cmp(&features[*b])).unwrap();
        let on_scale = |hertz: f64| 1127.0 * (hertz / 700.0).ln_1p();
        let step = (on_scale(8000.0) - on_scale(20.0)) / 41.0;
        let place = (on_scale(1000.0) - on_scale(20.0)) / step - 1.0;
        assert!((loudest as f64 - place).abs() < 1.0, "{loudest} {place}");
        assert_eq!(mel.features(&[0.0; 400]), [LEAST_ENERGY.ln() as f32; 40]);
    }

    #[test]
    fn rates_and_bins_without_meaning_are_refused() {
        for (rate, bins) in [(0, 80), (16_001, 80), (16_000, 0), (16_000, 257), (1 << 20, 80)] {
            assert_eq!(LogMel::new(rate, bins).unwrap_err().kind(), ErrorKind::Argument);
        }
    }
}
