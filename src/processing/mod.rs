//! What people ask of a model: from texts to token ids, and from a task's scores to labels, entities and answers.
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
mod words;

pub use answer::{Answer, answer};
pub use words::{Word, label_words};

use serde::Serialize;

use crate::models::Labels;

/// A label, and how likely it is.
#[derive(Clone, Debug, PartialEq, Serialize)]
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
pub fn log_likelihood(scores: &[f32], ids: &[u32]) -> Vec<f64> {
    let width = scores.len() / ids.len().max(1);
    let follows = ids.iter().skip(1);
    let log = |(row, &id): (&[f32], &u32)| {
        let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f64 = row.iter().map(|score| f64::from(score - largest).exp()).sum();
        f64::from(row[id as usize] - largest) - sum.ln()
    };
    scores.chunks(width.max(1)).zip(follows).map(log).collect()
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
        let found = log_likelihood(&scores, &[0, 1, 0]);
        assert!((found[0] - 0.5f64.ln()).abs() < 1e-7 && (found[1] - 0.75f64.ln()).abs() < 1e-7, "{found:?}");
        assert!(log_likelihood(&[1.0, 2.0], &[1]).is_empty());
    }
}
