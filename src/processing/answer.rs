//! Answers that are a part of a passage.

use std::ops::Range;

use serde::Serialize;

use super::check_rows;
use crate::Result;
use crate::tokenize::Encoding;

/// A part of a passage that answers a question.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Answer {
    /// The answer as the passage has it.
    pub text: String,
    /// Its bytes in the passage.
    pub at: Range<usize>,
    /// The probabilities of its first and of its last token, multiplied: each among all tokens of the passage.
    pub score: f64,
}

/// The likeliest span of at most `most` tokens of `passage`, the second text of `encoding` behind the question, by `scores: [tokens, 2]`
/// of its first and its last token; none where the passage has no token.
///
/// Of equally likely spans it is the first. Fails when there are not two scores for each token.
pub fn answer(scores: &[f32], encoding: &Encoding, passage: &str, most: usize) -> Result<Option<Answer>> {
    check_rows(scores, encoding.ids.len(), Some(2))?;
    Ok(best_span(scores, encoding, passage, most))
}

fn best_span(scores: &[f32], encoding: &Encoding, passage: &str, most: usize) -> Option<Answer> {
    let places: Vec<usize> = encoding.places(1).collect();
    let [starts, ends] = [0, 1].map(|side| {
        let side: Vec<f64> = places.iter().map(|place| f64::from(scores[2 * place + side])).collect();
        let largest = side.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = side.iter().map(|score| (score - largest).exp()).sum();
        side.into_iter().map(|score| score - largest - sum.ln()).collect::<Vec<f64>>()
    });
    let mut best: Option<(f64, usize, usize)> = None;
    for (start, first) in starts.iter().enumerate() {
        for (end, last) in ends.iter().enumerate().skip(start).take(most) {
            let score = first + last;
            if best.is_none_or(|(found, ..)| score > found) {
                best = Some((score, start, end));
            }
        }
    }
    let (score, start, end) = best?;
    let at = encoding.offsets[places[start]].start..encoding.offsets[places[end]].end;
    let found = passage.get(at.clone())?;
    // Some tokenizers count the blank before a word as a part of it.
    let first = at.start + found.len() - found.trim_start().len();
    let text = found.trim();
    Some(Answer { text: text.to_owned(), at: first..first + text.len(), score: score.exp() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_span_lies_in_the_passage_and_does_not_end_before_it_begins() {
        let encoding = Encoding {
            ids: vec![0; 6],
            types: vec![0, 0, 0, 1, 1, 1],
            texts: vec![None, Some(0), None, Some(1), Some(1), Some(1)],
            words: vec![None, Some(0), None, Some(0), Some(1), Some(2)],
            offsets: vec![0..0, 0..3, 0..0, 0..2, 3..5, 6..8],
        };
        // The question and special tokens have the highest scores, and the last word the best start.
        let scores = [9.0, 9.0, 9.0, 9.0, 9.0, 9.0, 0.0, 4.0, 1.0, 1.0, 3.0, 0.0];
        let found = answer(&scores, &encoding, "on my du", 3).unwrap().unwrap();
        assert_eq!((found.text.as_str(), found.at), ("on", 0..2));
        assert_eq!(
            answer(
                &[0.0; 4],
                &Encoding { texts: vec![None; 2], ids: vec![0; 2], ..Encoding::default() },
                "",
                3
            )
            .unwrap(),
            None
        );
        assert!(answer(&[0.0; 3], &encoding, "on my du", 3).is_err());
    }
}
