//! Labels of words.

use std::ops::Range;

use serde::Serialize;

use super::check_rows;
use crate::Result;
use crate::models::Labels;
use crate::tokenize::Encoding;

/// A word with its label.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Word {
    /// The label of its first token: the others of a word were not trained.
    pub label: String,
    /// The label's probability.
    pub score: f64,
    /// The word as the text has it.
    pub text: String,
    /// Its bytes in the text.
    pub at: Range<usize>,
}

/// The words of `text`, the first of `encoding`, with their labels by `scores: [tokens, labels]`.
///
/// Fails when there is not one row of scores for each token.
pub fn label_words(scores: &[f32], labels: &Labels, encoding: &Encoding, text: &str) -> Result<Vec<Word>> {
    check_rows(scores, encoding.ids.len(), Some(labels.names.len()))?;
    let mut words: Vec<(Option<usize>, Word)> = Vec::new();
    for place in encoding.places(0) {
        let (word, at) = (encoding.words[place], encoding.offsets[place].clone());
        if let Some((last, found)) = words.last_mut()
            && word.is_some()
            && *last == word
        {
            found.at.end = at.end;
            continue;
        }
        let row = &scores[place * labels.names.len()..][..labels.names.len()];
        let best = labels.probabilities(row).into_iter().zip(&labels.names);
        // The first of equals.
        let best = best.reduce(|best, other| if other.0 > best.0 { other } else { best });
        if let Some((score, label)) = best {
            words.push((word, Word { label: label.clone(), score, text: String::new(), at }));
        }
    }
    let shown = |(_, word): (_, Word)| {
        let found = text.get(word.at.clone()).unwrap_or_default();
        // Some tokenizers count the blank before a word as a part of it.
        let start = word.at.end - found.trim_start().len();
        Word { text: found.trim().to_owned(), at: start..start + found.trim().len(), ..word }
    };
    Ok(words.into_iter().map(shown).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::LabelKind;

    #[test]
    fn tokens_of_a_word_make_one_with_the_label_of_the_first() {
        let encoding = Encoding {
            ids: vec![0, 1, 2, 3, 0],
            types: vec![0; 5],
            texts: vec![None, Some(0), Some(0), Some(0), None],
            words: vec![None, Some(0), Some(0), Some(1), None],
            offsets: vec![0..0, 0..2, 2..5, 5..8, 0..0],
        };
        let labels = Labels { names: vec!["O".into(), "PER".into()], kind: LabelKind::One };
        let scores = [0.0, 0.0, 0.0, 5.0, 9.0, 0.0, 2.0, 1.0, 0.0, 0.0];
        let found = label_words(&scores, &labels, &encoding, "Adele is").unwrap();
        let parts: Vec<(&str, &str, Range<usize>)> =
            found.iter().map(|word| (word.label.as_str(), word.text.as_str(), word.at.clone())).collect();
        assert_eq!(parts, [("PER", "Adele", 0..5), ("O", "is", 6..8)]);
    }
}
