//! A text as bytes: training and validation parts, batches by step, and what counting alone predicts.

use std::collections::BTreeSet;

use super::masking::Masking;
use super::padded::UNCOUNTED;
use crate::tensor::HostTensor;
use crate::{Error, ErrorKind, Random, Result};

/// Ids that bytes have.
pub const BYTES: usize = 256;

/// The id that stands for a masked byte.
pub const MASK: u32 = BYTES as u32;

/// The share of bytes that is to be predicted (Devlin et al., arXiv 1810.04805, section 3.1).
const SHARE: f64 = 0.15;

/// A text, the end of which is kept for validation.
#[derive(Clone, Debug)]
pub struct ByteText {
    bytes: Vec<u8>,
    /// Where the validation part begins.
    split: usize,
    length: usize,
}

/// Ids and the ids that follow them, both `i32 [batch, length]`.
#[derive(Clone, Debug)]
pub struct TextBatch {
    /// What a model reads.
    pub ids: HostTensor,
    /// What it is to predict.
    pub targets: HostTensor,
}

impl TextBatch {
    fn of(windows: &[&[u8]]) -> Result<Self> {
        let length = windows[0].len() - 1;
        let collect = |range: std::ops::Range<usize>| {
            let ids =
                windows.iter().flat_map(|window| &window[range.clone()]).map(|&byte| byte.into()).collect();
            HostTensor::i32([windows.len(), length], ids)
        };
        Ok(Self { ids: collect(0..length)?, targets: collect(1..length + 1)? })
    }

    /// The same bytes with masks, as `seed` draws them: ids in which some are [`MASK`] or exchanged ([`Masking`]), and as targets what was there.
    pub fn masked(&self, seed: u64) -> Result<Self> {
        let masking = Masking { share: SHARE, mask: MASK, vocab_size: BYTES, special: BTreeSet::new() };
        let mut random = Random::new(seed);
        let length = self.ids.shape().dims()[1];
        let (mut ids, mut targets) = (Vec::new(), Vec::new());
        for row in self.ids.to_f64().chunks(length) {
            let bytes: Vec<u32> = row.iter().map(|&id| id as u32).collect();
            let masked = masking.apply(&bytes, &mut random);
            let first = targets.len();
            targets.resize(first + length, UNCOUNTED);
            for (place, target) in masked.places.iter().zip(&masked.targets) {
                targets[first + place] = *target as i32;
            }
            ids.extend(masked.ids.iter().map(|&id| id as i32));
        }
        let shape = self.ids.shape().clone();
        Ok(Self { ids: HostTensor::i32(shape.clone(), ids)?, targets: HostTensor::i32(shape, targets)? })
    }

    /// The tensors by the names that [`language_loss`](super::language_loss) gives its inputs.
    pub fn named(&self) -> [(&str, &HostTensor); 2] {
        [("ids", &self.ids), ("targets", &self.targets)]
    }
}

impl ByteText {
    /// A text for sequences of `length`, the last `validation` of it (a fraction from 0 to below 1) kept apart.
    ///
    /// Fails when either part is shorter than one sequence and the byte that follows it.
    pub fn new(bytes: Vec<u8>, length: usize, validation: f64) -> Result<Self> {
        if !(0.0..1.0).contains(&validation) || length == 0 {
            return Err(Error::new(ErrorKind::Argument, "text", "validation")
                .expecting("a fraction from 0 to below 1, and sequences of at least one byte")
                .but_found(format!("{validation}, {length}")));
        }
        let split = bytes.len() - (bytes.len() as f64 * validation) as usize;
        let parts = [("training", split), ("validation", bytes.len() - split)];
        for (part, found) in parts.into_iter().take(if validation > 0.0 { 2 } else { 1 }) {
            if found <= length {
                return Err(Error::new(ErrorKind::Argument, "text", format!("{part} part"))
                    .expecting(format!(
                        "at least {} bytes, a context of {length} and what follows",
                        length + 1
                    ))
                    .but_found(found));
            }
        }
        Ok(Self { bytes, split, length })
    }

    /// Batch number `number` of the training part: `batch` places drawn with `seed`, the same whenever they are asked for.
    pub fn batch(&self, batch: usize, seed: u64, number: u64) -> Result<TextBatch> {
        // Neighbouring numbers must not give neighbouring streams, so the first draw makes the seed of the others.
        let mut random = Random::new(Random::new(seed).next_u64() ^ number);
        let mut random = Random::new(random.next_u64());
        let windows: Vec<&[u8]> = (0..batch.max(1))
            .map(|_| {
                let start = random.next_below(self.split - self.length);
                &self.bytes[start..=start + self.length]
            })
            .collect();
        TextBatch::of(&windows)
    }

    /// The validation part in order, as batches of at most `batch` sequences that do not overlap; no more than `most` sequences, spread
    /// over the part. What is left at the end is too short for a sequence.
    pub fn validation(&self, batch: usize, most: usize) -> Result<Vec<TextBatch>> {
        let part = &self.bytes[self.split..];
        let count = part.len().saturating_sub(1) / self.length;
        // All batches have one size, as each size is a program of its own.
        let batch = batch.clamp(1, count.max(1));
        let used = count.min(most.max(batch)) / batch * batch;
        let windows: Vec<&[u8]> = (0..used)
            .map(|i| i * count / used * self.length)
            .map(|at| &part[at..=at + self.length])
            .collect();
        windows.chunks(batch).map(TextBatch::of).collect()
    }

    /// Mean cross-entropy of the validation part in nats a byte, by the frequencies of single bytes and of pairs in the training part,
    /// one added to each count.
    pub fn baselines(&self) -> (f64, f64) {
        let (train, validation) = self.bytes.split_at(self.split);
        let (mut single, mut pairs) = (vec![1.0f64; BYTES], vec![1.0f64; BYTES * BYTES]);
        for pair in train.windows(2) {
            single[usize::from(pair[1])] += 1.0;
            pairs[usize::from(pair[0]) * BYTES + usize::from(pair[1])] += 1.0;
        }
        let total: f64 = single.iter().sum();
        let firsts: Vec<f64> = pairs.chunks(BYTES).map(|row| row.iter().sum()).collect();
        let (mut unigram, mut bigram) = (0.0, 0.0);
        for pair in validation.windows(2) {
            let [first, second] = [usize::from(pair[0]), usize::from(pair[1])];
            unigram -= (single[second] / total).ln();
            bigram -= (pairs[first * BYTES + second] / firsts[first]).ln();
        }
        let count = validation.len().saturating_sub(1).max(1) as f64;
        (unigram / count, bigram / count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(length: usize) -> ByteText {
        ByteText::new((0..=255).cycle().take(10_000).collect(), length, 0.1).unwrap()
    }

    #[test]
    fn targets_follow_ids_and_batches_are_a_function_of_their_number() {
        let text = text(16);
        let [first, again, second] = [0, 0, 1].map(|number| text.batch(3, 7, number).unwrap());
        assert_eq!(first.ids, again.ids);
        assert_ne!(first.ids, second.ids);
        let next: Vec<f64> = first.ids.to_f64().iter().map(|id| (id + 1.0) % 256.0).collect();
        assert_eq!(first.targets.to_f64(), next);
    }

    #[test]
    fn masks_hide_bytes_and_targets_are_what_was_there() {
        let text = text(40);
        let batch = text.batch(3, 7, 0).unwrap();
        let masked = batch.masked(5).unwrap();
        assert_eq!(masked.ids, batch.masked(5).unwrap().ids);
        assert_ne!(masked.ids, batch.masked(6).unwrap().ids);
        let (was, ids, targets) = (batch.ids.to_f64(), masked.ids.to_f64(), masked.targets.to_f64());
        let mut hidden = 0;
        for ((was, id), target) in was.iter().zip(&ids).zip(&targets) {
            assert!(*target == f64::from(UNCOUNTED) && id == was || target == was, "{was}, {id}, {target}");
            hidden += usize::from(*id == f64::from(MASK));
        }
        // 0.15 of 40 bytes in each row.
        assert_eq!(targets.iter().filter(|&&target| target >= 0.0).count(), 3 * 6);
        assert!(hidden > 9, "{hidden}");
    }

    #[test]
    fn validation_covers_its_part_once() {
        let text = text(16);
        // 62 sequences in whole batches.
        let batches = text.validation(31, usize::MAX).unwrap();
        let ids: Vec<f64> = batches.iter().flat_map(|batch| batch.ids.to_f64()).collect();
        assert_eq!(ids.len(), 62 * 16);
        assert!(ids.iter().enumerate().all(|(i, &id)| id == ((9000 + i) % 256) as f64));
        assert_eq!(text.validation(4, 8).unwrap().len(), 2);
    }

    #[test]
    fn pairs_predict_a_cycle_and_single_bytes_do_not() {
        let (unigram, bigram) = text(16).baselines();
        assert!((unigram - 256f64.ln()).abs() < 0.01, "{unigram}");
        assert!(bigram < 3.0, "{bigram}");
    }

    #[test]
    fn a_text_shorter_than_the_context_is_refused() {
        let error = ByteText::new(vec![0; 100], 95, 0.1).unwrap_err();
        assert_eq!(
            error.to_string(),
            "text: training part: expected at least 96 bytes, a context of 95 and what follows, found 90"
        );
        let error = ByteText::new(vec![0; 100], 50, 0.1).unwrap_err();
        assert!(error.to_string().contains("validation part"), "{error}");
    }
}
