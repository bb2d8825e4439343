//! Greedy and sampled continuations.

use super::{Generator, NAME, Sampling, Streams};
use crate::models::EncoderDecoder;
use crate::{Error, ErrorKind, Random, Result};

/// How texts are continued: `Options::new(40).sampling(sampling).stop(ids)`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// The most tokens that are added to a text.
    pub most: usize,
    /// How each is chosen.
    pub sampling: Sampling,
    /// Tokens that end a text; they are part of it.
    pub stop: Vec<u32>,
    /// The seed of all draws.
    pub seed: u64,
    /// Whether a text that has as many tokens as the model has positions goes on from its last half; else it is refused beforehand.
    pub restarts: bool,
}

impl Options {
    /// At most `most` tokens more, drawn by [`Sampling::default`] with seed 0, without tokens that end a text; a text too long is refused.
    pub fn new(most: usize) -> Self {
        Self { most, sampling: Sampling::default(), stop: Vec::new(), seed: 0, restarts: false }
    }

    /// Chooses each token by `sampling`.
    #[must_use]
    pub fn sampling(self, sampling: Sampling) -> Self {
        Self { sampling, ..self }
    }

    /// Ends a text at any of `tokens`.
    #[must_use]
    pub fn stop(self, tokens: impl Into<Vec<u32>>) -> Self {
        Self { stop: tokens.into(), ..self }
    }

    /// Draws by `seed`.
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// Goes on from the last half of a text that has as many tokens as the model has positions.
    #[must_use]
    pub fn restarting(self) -> Self {
        Self { restarts: true, ..self }
    }
}

impl Generator {
    /// Continues each of `prompts`, all together, and gives the tokens that were added. An encoder-decoder reads the prompts as source texts
    /// and writes texts about them, from its start token on. `on_token` gets the number of the text and each
    /// token as it comes; where it gives `false`, no more come.
    ///
    /// Fails when there is no prompt or one is empty, when a prompt and its continuation have more tokens than the model has positions,
    /// when options have no meaning, and as [`Generator::feed`] does.
    pub fn generate(
        &mut self,
        prompts: &[impl AsRef<[u32]>],
        options: &Options,
        mut on_token: impl FnMut(usize, u32) -> bool,
    ) -> Result<Vec<Vec<u32>>> {
        options.sampling.check()?;
        let prompts: Vec<&[u32]> = prompts.iter().map(AsRef::as_ref).collect();
        let (mut streams, mut texts) = self.begin(&prompts, 1, options.most, options.restarts)?;
        let (room, begun) = (streams.capacity(), texts.iter().map(Vec::len).collect::<Vec<_>>());
        let mut fresh: Vec<Vec<u32>> = texts.clone();
        let mut random = Random::new(options.seed);
        for _ in 0..options.most {
            for (i, fresh) in fresh.iter_mut().enumerate().filter(|(_, fresh)| !fresh.is_empty()) {
                if streams.lengths()[i] + fresh.len() > room {
                    streams.truncate(i, 0)?;
                    *fresh = texts[i][texts[i].len() - room.div_ceil(2)..].to_vec();
                }
            }
            let scores = self.feed(&mut streams, &fresh.iter().map(Vec::as_slice).collect::<Vec<_>>())?;
            let mut goes_on = true;
            for (i, scores) in scores.into_iter().enumerate() {
                fresh[i].clear();
                let Some(mut scores) = scores else { continue };
                options.sampling.penalize(&mut scores, &texts[i]);
                let id = options.sampling.draw(&scores, &mut random)?;
                texts[i].push(id);
                goes_on &= on_token(i, id);
                if !options.stop.contains(&id) {
                    fresh[i].push(id);
                }
            }
            if !goes_on || fresh.iter().all(Vec::is_empty) {
                break;
            }
        }
        Ok(texts.into_iter().zip(begun).map(|(text, begun)| text[begun..].to_vec()).collect())
    }

    /// Streams for `copies` continuations of each of `prompts`, one behind another, with room for `most` tokens more, and what each text
    /// begins with: its prompt or, of an encoder-decoder, which reads the prompts as source texts, its start token.
    pub(super) fn begin(
        &mut self,
        prompts: &[&[u32]],
        copies: usize,
        most: usize,
        restarts: bool,
    ) -> Result<(Streams, Vec<Vec<u32>>)> {
        if prompts.is_empty() || prompts.iter().any(|prompt| prompt.is_empty()) {
            return Err(Error::new(ErrorKind::Argument, NAME, "prompt")
                .expecting("at least one token")
                .but_found("none"));
        }
        let begun = match self.model().network().signature().encoder_decoder {
            Some(EncoderDecoder { start, .. }) => vec![vec![start]; prompts.len()],
            None => prompts.iter().map(|prompt| prompt.to_vec()).collect(),
        };
        let longest = begun.iter().map(Vec::len).max().unwrap_or(0);
        // The last token is never read.
        let (positions, room) =
            (self.model().facts().max_tokens, longest.saturating_add(most.saturating_sub(1)));
        if room > positions && !restarts {
            return Err(Error::new(ErrorKind::Limit, NAME, "tokens")
                .expecting(format!("at most {positions}, as many as the model has positions"))
                .but_found(format!("{longest} of the prompt and {most} more")));
        }
        let (room, count) = (room.min(positions), prompts.len() * copies);
        let streams = match self.model().network().signature().encoder_decoder {
            Some(_) => self.encode(prompts, copies, room)?,
            None => self.start(count, room)?,
        };
        let texts = begun.into_iter().flat_map(|text| std::iter::repeat_n(text, copies)).collect();
        Ok((streams, texts))
    }
}
