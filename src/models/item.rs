//! A sequence that an encoder is run on.

use super::encoder::NAME;
use super::{Input, Model};
use crate::{Error, ErrorKind, Result};

/// One sequence, and what else a model may read of it.
#[derive(Clone, Copy, Debug)]
pub struct Item<'a> {
    /// Its tokens.
    pub ids: &'a [u32],
    /// Which of a pair of texts each token is of; all the first where this is empty.
    pub types: &'a [u32],
    /// Places of global tokens, for models that read them; those of [`Model::default_globals`] where absent.
    pub globals: Option<&'a [usize]>,
    /// Places of the tokens that results are asked for, of tasks with a result for each token; all of them where absent.
    pub wanted: Option<&'a [usize]>,
}

impl<'a> Item<'a> {
    /// A sequence of one text.
    pub fn new(ids: &'a [u32]) -> Self {
        Self { ids, types: &[], globals: None, wanted: None }
    }

    /// How many tokens results are asked for.
    pub(super) fn rows(&self) -> usize {
        self.wanted.map_or(self.ids.len(), <[usize]>::len)
    }

    /// Refuses a sequence, one of several, that the model cannot take.
    pub(super) fn check(&self, number: usize, model: &Model) -> Result<()> {
        let facts = model.facts();
        let reads_globals = model.network().signature().reads(Input::Globals);
        let refused = |argument: String| Error::new(ErrorKind::Argument, NAME, argument);
        let length = self.ids.len();
        if !(1..=facts.max_tokens).contains(&length) {
            return Err(refused(format!("sequence {number}"))
                .expecting(format!("1 to {} tokens", facts.max_tokens))
                .but_found(length));
        }
        let most =
            [("token", self.ids, facts.vocab_size, "an id"), ("type", self.types, facts.types, "a type")];
        for (what, values, most, expected) in most {
            if let Some(at) = values.iter().position(|value| *value as usize >= most) {
                return Err(refused(format!("sequence {number}, {what} {at}"))
                    .expecting(format!("{expected} below {most}"))
                    .but_found(values[at]));
            }
        }
        if !self.types.is_empty() && self.types.len() != length {
            return Err(refused(format!("types of sequence {number}"))
                .expecting(format!("{length}, one a token"))
                .but_found(self.types.len()));
        }
        let globals = self.globals.unwrap_or_default();
        for (what, places) in [("positions", self.wanted.unwrap_or_default()), ("globals", globals)] {
            if let Some(past) = places.iter().find(|place| **place >= length) {
                return Err(refused(format!("{what} of sequence {number}"))
                    .expecting(format!("places among its {length} tokens"))
                    .but_found(past));
            }
        }
        if !globals.is_empty() && !reads_globals {
            return Err(refused(format!("globals of sequence {number}"))
                .expecting(format!("none, as {} has no global tokens", facts.architecture))
                .but_found(globals.len()));
        }
        Ok(())
    }
}
