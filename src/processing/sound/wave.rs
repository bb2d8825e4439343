//! WAV files as samples of one channel, at any rate.

use std::io::Cursor;
use std::path::Path;

use hound::{SampleFormat, WavReader, WavSpec};
use rubato::audioadapter_buffers::owned::InterleavedOwned;
use rubato::{Async, FixedAsync, Resampler, SincInterpolationParameters, WindowFunction};

use crate::weights::read_file;
use crate::{Error, ErrorKind, Result};

/// The largest file that is read.
const MOST_BYTES: u64 = 1 << 30;

/// Samples a second that files may have.
const RATES: std::ops::RangeInclusive<u32> = 1_000..=384_000;

/// Samples before and behind one of another rate that it is made of, at the rate they have.
const REACH: usize = 128;

/// Samples that are resampled at a time.
const CHUNK: usize = 1024;

/// A recording of one channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Wave {
    /// Its samples, from -1 to 1 where the file has whole numbers.
    pub samples: Vec<f32>,
    /// Samples a second.
    pub rate: u32,
}

impl Wave {
    /// Reads the WAV file at `path`, of at most 1 GiB; as [`Wave::read`].
    ///
    /// Fails also with [`ErrorKind::Io`] when it is missing or cannot be read.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Self::read(&path.display().to_string(), &read_file(path, MOST_BYTES)?)
    }

    /// The recording in the bytes of a WAV file that messages call `source`: whole numbers of 16, 24 or 32 bits or floats of 32, of one channel or of
    /// two, whose mean is taken.
    ///
    /// Fails with [`ErrorKind::Unsupported`] for other numbers, channels and rates (1 to 384 kHz), and with [`ErrorKind::Io`] for a file that is no
    /// WAV file, has no samples, fewer than its header says, or one that is not finite.
    pub fn read(source: &str, bytes: &[u8]) -> Result<Self> {
        let damaged = |place: &str| Error::new(ErrorKind::Io, source.to_owned(), place.to_owned());
        let reader = WavReader::new(Cursor::new(bytes))
            .map_err(|error| damaged("header").expecting("a WAV file").but_found(error))?;
        let (spec, claimed) = (reader.spec(), reader.len() as usize);
        check(source, spec)?;
        if claimed == 0 {
            return Err(damaged("data").expecting("at least one sample").but_found(0));
        }
        let least = claimed.saturating_mul(usize::from(spec.bits_per_sample / 8));
        if least > bytes.len() {
            return Err(damaged("data")
                .expecting(format!("{claimed} samples, as the header says"))
                .but_found(format!("a file of {} bytes", bytes.len())));
        }
        let numbers = numbers(reader, spec, claimed).map_err(|(at, error)| {
            damaged(&format!("sample {at}"))
                .expecting(format!("{claimed} samples, as the header says"))
                .but_found(error)
        })?;
        if let Some(at) = numbers.iter().position(|number| !number.is_finite()) {
            return Err(damaged(&format!("sample {at}")).expecting("a finite number").but_found(numbers[at]));
        }
        let samples = match spec.channels {
            1 => numbers,
            _ => numbers.chunks_exact(2).map(|pair| 0.5 * (pair[0] + pair[1])).collect(),
        };
        Ok(Self { samples, rate: spec.sample_rate })
    }

    /// The same sound with `rate` samples a second, to a sample in its place: a windowed sinc, which leaves out what the lower of the two rates cannot
    /// hold. Itself where it has that rate already.
    ///
    /// Fails when `rate` is not from 1 to 384 kHz.
    pub fn resampled(self, rate: u32) -> Result<Self> {
        let refused = || Error::new(ErrorKind::Argument, "resample", "rate");
        if !RATES.contains(&rate) || !RATES.contains(&self.rate) {
            let expected = format!("{} to {} samples a second", RATES.start(), RATES.end());
            return Err(refused().expecting(expected).but_found(format!("{} to {rate}", self.rate)));
        }
        if rate == self.rate || self.samples.is_empty() {
            return Ok(Self { rate, ..self });
        }
        let failed = |error: &dyn std::fmt::Display| {
            refused().expecting("a rate that can be reached").but_found(error)
        };
        let ratio = f64::from(rate) / f64::from(self.rate);
        let sinc = SincInterpolationParameters::new(2 * REACH, WindowFunction::BlackmanHarris2);
        let mut resampler = Async::<f32>::new_sinc(ratio, 1.0, &sinc, CHUNK, 1, FixedAsync::Input)
            .map_err(|error| failed(&error))?;
        let count = self.samples.len();
        let samples = InterleavedOwned::new_from(self.samples, 1, count).map_err(|error| failed(&error))?;
        let samples = resampler.process_all(&samples, count, None).map_err(|error| failed(&error))?;
        Ok(Self { samples: samples.take_data(), rate })
    }

    /// How long it takes, in seconds.
    pub fn seconds(&self) -> f64 {
        self.samples.len() as f64 / f64::from(self.rate)
    }
}

/// Refuses numbers, channels and rates that are not read.
fn check(source: &str, spec: WavSpec) -> Result<()> {
    let refused = |field: &str| Error::new(ErrorKind::Unsupported, source.to_owned(), field.to_owned());
    let WavSpec { channels, sample_rate, bits_per_sample: bits, sample_format } = spec;
    let is_read = match sample_format {
        SampleFormat::Int => [16, 24, 32].contains(&bits),
        SampleFormat::Float => bits == 32,
    };
    if !is_read {
        let found = match sample_format {
            SampleFormat::Int => format!("whole numbers of {bits} bits"),
            SampleFormat::Float => format!("floats of {bits} bits"),
        };
        let expected = "whole numbers of 16, 24 or 32 bits, or floats of 32";
        return Err(refused("bits of a sample").expecting(expected).but_found(found));
    }
    if !(1..=2).contains(&channels) {
        return Err(refused("channels").expecting("1 or 2").but_found(channels));
    }
    if !RATES.contains(&sample_rate) {
        let expected = format!("{} to {} samples a second", RATES.start(), RATES.end());
        return Err(refused("rate").expecting(expected).but_found(sample_rate));
    }
    Ok(())
}

/// All numbers of the file, of all channels by turns; or the number of the first that is not there, and why.
fn numbers(
    reader: WavReader<Cursor<&[u8]>>,
    spec: WavSpec,
    count: usize,
) -> std::result::Result<Vec<f32>, (usize, hound::Error)> {
    let mut numbers = Vec::with_capacity(count);
    match spec.sample_format {
        SampleFormat::Float => {
            for number in reader.into_samples::<f32>() {
                numbers.push(number.map_err(|error| (numbers.len(), error))?);
            }
        }
        SampleFormat::Int => {
            let scale = 0.5f64.powi(i32::from(spec.bits_per_sample) - 1);
            for number in reader.into_samples::<i32>() {
                let number = number.map_err(|error| (numbers.len(), error))?;
                numbers.push((f64::from(number) * scale) as f32);
            }
        }
    }
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(spec: WavSpec, write: impl FnOnce(&mut hound::WavWriter<&mut Cursor<Vec<u8>>>)) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        let mut writer = hound::WavWriter::new(&mut bytes, spec).unwrap();
        write(&mut writer);
        writer.finalize().unwrap();
        bytes.into_inner()
    }

    fn spec(channels: u16, bits_per_sample: u16, sample_format: SampleFormat) -> WavSpec {
        WavSpec { channels, sample_rate: 16_000, bits_per_sample, sample_format }
    }

    fn of_whole_numbers(channels: u16, bits: u16, numbers: &[i32]) -> Vec<u8> {
        bytes(spec(channels, bits, SampleFormat::Int), |writer| {
            numbers.iter().for_each(|&number| writer.write_sample(number).unwrap());
        })
    }

    #[test]
    fn whole_numbers_and_floats_are_read_and_two_channels_mixed() {
        let sixteen = Wave::read("a.wav", &of_whole_numbers(1, 16, &[0, 16_384, -32_768])).unwrap();
        assert_eq!(sixteen, Wave { samples: vec![0.0, 0.5, -1.0], rate: 16_000 });
        let both = Wave::read("a.wav", &of_whole_numbers(2, 24, &[1 << 22, 0, -(1 << 23), 1 << 22])).unwrap();
        assert_eq!(both.samples, [0.25, -0.25]);
        let floats = bytes(spec(1, 32, SampleFormat::Float), |writer| {
            [0.125f32, -2.0].iter().for_each(|&number| writer.write_sample(number).unwrap());
        });
        assert_eq!(Wave::read("a.wav", &floats).unwrap().samples, [0.125, -2.0]);
    }

    #[test]
    fn what_is_not_read_is_refused_with_file_and_place() {
        let refusal = |bytes: &[u8]| {
            let error = Wave::read("a.wav", bytes).unwrap_err();
            (error.kind(), error.to_string())
        };
        let good = of_whole_numbers(1, 16, &[1, 2, 3, 4]);
        for (bytes, kind, sentence) in [
            (Vec::new(), ErrorKind::Io, "a.wav: header: expected a WAV file"),
            (b"RIFF, not a wave".to_vec(), ErrorKind::Io, "a.wav: header: expected a WAV file"),
            (
                of_whole_numbers(1, 16, &[]),
                ErrorKind::Io,
                "a.wav: data: expected at least one sample, found 0",
            ),
            (
                of_whole_numbers(1, 8, &[1, 2]),
                ErrorKind::Unsupported,
                "a.wav: bits of a sample: expected whole numbers of 16, 24 or 32 bits, or floats of 32, found whole numbers of 8 bits",
            ),
            (
                of_whole_numbers(7, 16, &[0; 7]),
                ErrorKind::Unsupported,
                "a.wav: channels: expected 1 or 2, found 7",
            ),
            (
                good[..good.len() - 3].to_vec(),
                ErrorKind::Io,
                "a.wav: sample 2: expected 4 samples, as the header says",
            ),
        ] {
            let (found, text) = refusal(&bytes);
            assert!(found == kind && text.starts_with(sentence), "{text}");
        }
        // The header says 2^31 bytes of data.
        let mut lies = good.clone();
        let at = lies.windows(4).position(|tag| tag == b"data").unwrap() + 4;
        lies[at..at + 4].copy_from_slice(&(1u32 << 31).to_le_bytes());
        assert!(
            refusal(&lies).1.starts_with("a.wav: data: expected 1073741824 samples"),
            "{:?}",
            refusal(&lies)
        );
        // Every file with one byte changed or cut short is read or refused.
        for at in 0..good.len() {
            for byte in [0, 1, 0x7f, 0xff] {
                let mut changed = good.clone();
                changed[at] = byte;
                let _ = Wave::read("a.wav", &changed);
            }
            assert!(Wave::read("a.wav", &good[..at]).is_err());
        }
        let mut floats =
            bytes(spec(1, 32, SampleFormat::Float), |writer| writer.write_sample(1.0f32).unwrap());
        let at = floats.len() - 4;
        floats[at..].copy_from_slice(&f32::NAN.to_le_bytes());
        assert_eq!(refusal(&floats).1, "a.wav: sample 0: expected a finite number, found NaN");
    }

    #[test]
    fn a_tone_keeps_its_pitch_and_what_the_rate_cannot_hold_is_gone() {
        let tone = |hertz: f64, rate: u32| -> Vec<f32> {
            let step = std::f64::consts::TAU * hertz / f64::from(rate);
            (0..rate).map(|at| (at as f64 * step).sin() as f32).collect()
        };
        for rate in [8_000, 22_050, 44_100, 48_000] {
            let found = Wave { samples: tone(440.0, rate), rate }.resampled(16_000).unwrap();
            assert!(found.samples.len().abs_diff(16_000) <= 1, "{}", found.samples.len());
            // 44 whole periods, away from the ends, as a sine and a cosine.
            let step = std::f64::consts::TAU * 440.0 / 16_000.0;
            let inner = 800..2400;
            let part = |of: fn(f64) -> f64| -> f64 {
                let products = inner.clone().map(|at| f64::from(found.samples[at]) * of(at as f64 * step));
                2.0 * products.sum::<f64>() / inner.len() as f64
            };
            let (sine, cosine) = (part(f64::sin), part(f64::cos));
            let rest = inner.clone().map(|at| {
                let angle = at as f64 * step;
                (f64::from(found.samples[at]) - sine * angle.sin() - cosine * angle.cos()).abs()
            });
            let rest = rest.fold(0.0, f64::max);
            assert!((sine.hypot(cosine) - 1.0).abs() < 2e-3 && rest < 2e-3, "{rate}: {sine} {cosine} {rest}");
            // No more than a sample too early or too late.
            assert!(cosine.atan2(sine).abs() < 1.05 * step, "{rate}: {sine} {cosine}");
        }
        let high = Wave { samples: tone(12_000.0, 44_100), rate: 44_100 }.resampled(16_000).unwrap();
        assert!(high.samples[400..15_600].iter().all(|sample| sample.abs() < 1e-3));
        let same = Wave { samples: vec![0.5; 3], rate: 16_000 };
        assert_eq!(same.clone().resampled(16_000).unwrap(), same);
        assert!(same.resampled(7).is_err());
    }
}
