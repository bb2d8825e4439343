//! What people ask of a model: from texts to token ids, and from a task's scores to labels, entities and answers; [`sound`] is about speech.
//!
//! ```text
//! Tokenizer::encode_texts(&[text, second])      ids, types, offsets and words
//! Encoder::run_items(&items)                    scores
//! classify(&scores, labels)                     labels, likeliest first
//! label_words(&scores, labels, &encoding, text) a label for each word, with its place in the text
//! answer(&scores, &encoding, passage, most)     the span of the passage that answers the question
//! log_likelihood(&scores, &ids)                 how likely a text is to a causal language model
//! ```

mod answer;
pub mod series;
pub mod sound;
mod words;

pub use answer::{Answer, answer};
pub use words::{Word, label_words};

use serde::Serialize;

use crate::models::Labels;
use crate::{Error, ErrorKind, Result};

const NAME: &str = "processing";

/// A label, and how likely it is.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Labelled {
    /// Its name.
    pub label: String,
    /// Its probability, or the score itself where scores are numbers.
    pub score: f64,
}

/// All labels with their probabilities by `scores`, one a label: likeliest first, of equals the one with the lower number.
pub fn classify(scores: &[f32], labels: &Labels) -> Vec<Labelled> {
    let mut found: Vec<Labelled> = labels
        .probabilities(scores)
        .into_iter()
        .zip(&labels.names)
        .map(|(score, label)| Labelled { label: label.clone(), score })
        .collect();
    found.sort_by(|a, b| b.score.total_cmp(&a.score));
    found
}

/// The natural logarithm of each token's probability behind those before it, but for the first: `scores: [tokens, vocab_size]` of a
/// causal language model, row `t` of what follows token `t`.
///
/// Fails when there is not one row of scores for each token, or an id has no score.
pub fn log_likelihood(scores: &[f32], ids: &[u32]) -> Result<Vec<f64>> {
    check_rows(scores, ids.len(), None)?;
    let width = scores.len() / ids.len().max(1);
    if let Some(id) = ids.iter().find(|id| **id as usize >= width) {
        return Err(Error::new(ErrorKind::Argument, NAME, "ids")
            .expecting(format!("ids below {width}"))
            .but_found(id));
    }
    let follows = ids.iter().skip(1);
    let log = |(row, &id): (&[f32], &u32)| {
        let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f64 = row.iter().map(|score| f64::from(score - largest).exp()).sum();
        f64::from(row[id as usize] - largest) - sum.ln()
    };
    Ok(scores.chunks(width.max(1)).zip(follows).map(log).collect())
}

/// Refuses scores that are not a row for each of `tokens`, of `width` where it is known.
fn check_rows(scores: &[f32], tokens: usize, width: Option<usize>) -> Result<()> {
    let fits = match width {
        Some(width) => tokens.checked_mul(width) == Some(scores.len()),
        None => tokens == 0 && scores.is_empty() || tokens > 0 && scores.len().is_multiple_of(tokens),
    };
    if fits {
        return Ok(());
    }
    let width = width.map_or("vocab_size".to_owned(), |width| width.to_string());
    Err(Error::new(ErrorKind::Shape, NAME, "scores")
        .expecting(format!("[{tokens}, {width}]"))
        .but_found(format!("{} numbers", scores.len())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::LabelKind;

    #[test]
    fn the_likeliest_label_comes_first() {
        let names = ["a", "b", "c"].map(str::to_owned).to_vec();
        let found = classify(&[0.0, 2.0, 2.0], &Labels { names, kind: LabelKind::One });
        assert_eq!(found.iter().map(|found| found.label.as_str()).collect::<Vec<_>>(), ["b", "c", "a"]);
    }

    #[test]
    fn a_text_is_as_likely_as_its_tokens() {
        // After the first token both are equally likely, after the second the first one is three times as likely.
        let scores = [0.0, 0.0, 3f32.ln(), 0.0, 9.0, 9.0];
        let found = log_likelihood(&scores, &[0, 1, 0]).unwrap();
        assert!((found[0] - 0.5f64.ln()).abs() < 1e-7 && (found[1] - 0.75f64.ln()).abs() < 1e-7, "{found:?}");
        assert!(log_likelihood(&[1.0, 2.0], &[1]).unwrap().is_empty());
        assert_eq!(log_likelihood(&[1.0, 2.0], &[2]).unwrap_err().kind(), ErrorKind::Argument);
        assert_eq!(log_likelihood(&[1.0, 2.0, 3.0], &[0, 1]).unwrap_err().kind(), ErrorKind::Shape);
    }
}
