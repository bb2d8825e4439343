//! How far a transcript is from what was said.

use crate::edit_distance::edit_distance;

/// The errors of a transcript, in words and in letters: substitutions, insertions and deletions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecognitionErrors {
    /// Words that were substituted, inserted or deleted.
    pub words: usize,
    /// Words of the text.
    pub of_words: usize,
    /// Letters that were substituted, inserted or deleted, blanks between words included.
    pub letters: usize,
    /// Letters of the text.
    pub of_letters: usize,
}

impl RecognitionErrors {
    /// The least errors that make `heard` of `said`; several blanks count as one.
    pub fn of(said: &str, heard: &str) -> Self {
        let words = [said, heard].map(|text| text.split_whitespace().collect::<Vec<_>>());
        let letters = words.each_ref().map(|words| words.join(" ").chars().collect::<Vec<_>>());
        Self {
            words: edit_distance(&words[0], &words[1]),
            of_words: words[0].len(),
            letters: edit_distance(&letters[0], &letters[1]),
            of_letters: letters[0].len(),
        }
    }

    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            words: self.words + other.words,
            of_words: self.of_words + other.of_words,
            letters: self.letters + other.letters,
            of_letters: self.of_letters + other.of_letters,
        }
    }

    /// The word error rate: errors for each word of the text.
    pub fn word_error_rate(&self) -> f64 {
        self.words as f64 / self.of_words.max(1) as f64
    }

    /// The character error rate.
    pub fn character_error_rate(&self) -> f64 {
        self.letters as f64 / self.of_letters.max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_letters_are_counted_by_hand() {
        let found =
            RecognitionErrors::of("he was not an ill  disposed man", "he was an hill disposed man ho");
        // `not` is missing, `ill` is another, `ho` is too much.
        assert_eq!((found.words, found.of_words), (3, 7));
        assert_eq!((found.letters, found.of_letters), (4 + 1 + 3, 30));
        assert_eq!(RecognitionErrors::of("a b", "a b").word_error_rate(), 0.0);
        assert_eq!(RecognitionErrors::of("", "a").words, 1);
        assert_eq!(RecognitionErrors::of("ab", "").character_error_rate(), 1.0);
        assert_eq!(found.and(found).word_error_rate(), 3.0 / 7.0);
    }
}
