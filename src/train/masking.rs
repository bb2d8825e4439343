//! Words to be predicted: which tokens of a text are masked, and what takes their place.

use std::collections::BTreeSet;

use super::padded::{Inputs, UNCOUNTED, padded_inputs, row_time};
use crate::models::{Item, Model};
use crate::tensor::HostTensor;
use crate::{Error, ErrorKind, Random, Result};

/// How tokens are masked (Devlin et al., arXiv 1810.04805, section 3.1): a share of a text's tokens is to be predicted, special tokens never;
/// of these 80 % become the mask, 10 % any other token, and 10 % stay as they are.
#[derive(Clone, Debug, PartialEq)]
pub struct Masking {
    /// The share of a text's tokens that is to be predicted: 0.15 in the paper. At least one token is, where a text has any.
    pub share: f64,
    /// The token that stands for a masked one.
    pub mask: u32,
    /// Ids are below this.
    pub vocab_size: usize,
    /// Tokens that are neither predicted nor put anywhere.
    pub special: BTreeSet<u32>,
}

/// A text with masks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Masked {
    /// Its tokens, some of them masked or exchanged.
    pub ids: Vec<u32>,
    /// Places of the tokens that are to be predicted, ascending.
    pub places: Vec<usize>,
    /// What was there.
    pub targets: Vec<u32>,
}

impl Masking {
    /// How many tokens are to be predicted of a text that has `count` besides special ones.
    pub fn chosen(&self, count: usize) -> usize {
        ((self.share * count as f64).round() as usize).max(1).min(count)
    }

    /// The text `ids` with masks, as `random` draws them.
    pub fn apply(&self, ids: &[u32], random: &mut Random) -> Masked {
        let mut places: Vec<usize> =
            (0..ids.len()).filter(|&place| !self.special.contains(&ids[place])).collect();
        let chosen = self.chosen(places.len());
        // The first steps of a shuffle draw without putting back.
        for at in 0..chosen {
            let other = at + random.next_below(places.len() - at);
            places.swap(at, other);
        }
        places.truncate(chosen);
        places.sort_unstable();
        let targets = places.iter().map(|&place| ids[place]).collect();
        let mut masked = ids.to_vec();
        for &place in &places {
            match random.next_below(10) {
                0 => masked[place] = self.any_token(random).unwrap_or(masked[place]),
                1 => {}
                _ => masked[place] = self.mask,
            }
        }
        Masked { ids: masked, places, targets }
    }

    /// A token that is not special; none where a vocabulary has hardly any other.
    fn any_token(&self, random: &mut Random) -> Option<u32> {
        (0..64)
            .map(|_| random.next_below(self.vocab_size.max(1)) as u32)
            .find(|id| !self.special.contains(id))
    }
}

/// The inputs of [`masked_words_loss`](super::masked_words_loss) for `texts`, with room for `count` predictions.
///
/// Fails as [`padded_inputs`] does, and when more tokens are to be predicted.
pub fn masked_inputs(model: &Model, texts: &[Masked], [time, count]: [usize; 2]) -> Result<Inputs> {
    let items: Vec<Item<'_>> = texts.iter().map(|text| Item::new(&text.ids)).collect();
    let mut inputs = padded_inputs(model, &items, time)?;
    let row = row_time(model, time);
    let of_batch = |(number, text): (usize, &Masked)| -> Vec<i32> {
        text.places.iter().map(|place| (number * row + place) as i32).collect()
    };
    let mut rows: Vec<i32> = texts.iter().enumerate().flat_map(of_batch).collect();
    let mut targets: Vec<i32> = texts.iter().flat_map(|text| &text.targets).map(|&id| id as i32).collect();
    if rows.len() > count || rows.len() != targets.len() {
        return Err(Error::new(ErrorKind::Argument, "batch", "masks")
            .expecting(format!("at most {count}, with a target each"))
            .but_found(format!("{}, {} targets", rows.len(), targets.len())));
    }
    rows.resize(count, -1);
    targets.resize(count, UNCOUNTED);
    inputs.push(("rows", HostTensor::i32([count], rows)?));
    inputs.push(("targets", HostTensor::i32([count], targets)?));
    Ok(inputs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_the_chosen_tokens_most_are_masked_and_special_ones_never() {
        let masking = Masking { share: 0.15, mask: 4, vocab_size: 100, special: (0..5).collect() };
        let ids: Vec<u32> = [2].into_iter().chain(5..95).chain([3]).collect();
        let mut random = Random::new(7);
        let (mut masks, mut kept, mut others) = (0, 0, 0);
        for _ in 0..1000 {
            let text = masking.apply(&ids, &mut random);
            // 0.15 of 90, rounded.
            assert_eq!((text.places.len(), text.ids.len()), (14, ids.len()));
            assert!(text.places.is_sorted_by(|a, b| a < b));
            for (place, target) in text.places.iter().zip(&text.targets) {
                assert_eq!(ids[*place], *target);
                match text.ids[*place] {
                    4 => masks += 1,
                    id if id == *target => kept += 1,
                    id => {
                        assert!(!masking.special.contains(&id));
                        others += 1;
                    }
                }
            }
            let untouched = (0..ids.len()).filter(|place| !text.places.contains(place));
            assert!(untouched.into_iter().all(|place| ids[place] == text.ids[place]));
        }
        let share = |count: i32| f64::from(count) / 14_000.0;
        // Five standard deviations of a share of 14 000 draws; one in 95 exchanges draws the token itself.
        assert!((share(masks) - 0.8).abs() < 0.017, "{masks}");
        assert!((share(others) - 0.1 * 94.0 / 95.0).abs() < 0.013, "{others}");
        assert!((share(kept) - 0.1 * 96.0 / 95.0).abs() < 0.013, "{kept}");
    }

    #[test]
    fn a_short_text_has_one_mask_and_an_empty_one_none() {
        let masking = Masking { share: 0.15, mask: 1, vocab_size: 9, special: [0, 1].into() };
        let mut random = Random::new(1);
        assert_eq!(masking.apply(&[0, 5, 0], &mut random).places, [1]);
        assert_eq!(masking.apply(&[0, 0], &mut random), Masked { ids: vec![0, 0], ..Masked::default() });
    }
}
