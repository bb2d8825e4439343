//! Tokens with what they were made of.

use std::ops::Range;

/// The tokens of a text, or of two, and where each comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Encoding {
    /// Ids, special tokens included.
    pub ids: Vec<u32>,
    /// Which of the two texts each token counts to, as the model was trained: special tokens, too.
    pub types: Vec<u32>,
    /// The text that each token is a part of, 0 or 1; none for special tokens.
    pub texts: Vec<Option<usize>>,
    /// The word of its text that each token is a part of, counted from 0; none for special tokens.
    pub words: Vec<Option<usize>>,
    /// Which bytes of its text each token stands for.
    pub offsets: Vec<Range<usize>>,
}

impl Encoding {
    /// Places of the tokens of a text, 0 or 1.
    pub fn places(&self, text: usize) -> impl Iterator<Item = usize> + '_ {
        (0..self.ids.len()).filter(move |&place| self.texts[place] == Some(text))
    }

    pub(super) fn push_special(&mut self, id: u32, kind: u32) {
        self.ids.push(id);
        self.types.push(kind);
        self.texts.push(None);
        self.words.push(None);
        self.offsets.push(0..0);
    }
}
