//! Greedy and sampled continuations.

use super::{Generator, NAME, Sampling};
use crate::{Error, ErrorKind, Random, Result};

/// How texts are continued.
#[derive(Clone, Debug)]
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

impl Generator {
    /// Continues each of `prompts`, all together, and gives the tokens that were added. `on_token` gets the number of the text and each
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
        let positions = self.model().facts().max_tokens;
        let room = match self.room(prompts, options.most) {
            Err(error) if options.restarts && error.kind() == ErrorKind::Limit => positions,
            room => room?,
        };
        let mut streams = self.start(prompts.len(), room)?;
        let mut texts: Vec<Vec<u32>> = prompts.iter().map(|prompt| prompt.as_ref().to_vec()).collect();
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
        let added = |(text, prompt): (Vec<u32>, &_)| text[AsRef::<[u32]>::as_ref(prompt).len()..].to_vec();
        Ok(texts.into_iter().zip(prompts).map(added).collect())
    }

    /// Tokens of the longest prompt and `most` more. The last of them is never read.
    pub(super) fn room(&self, prompts: &[impl AsRef<[u32]>], most: usize) -> Result<usize> {
        let longest = prompts.iter().map(|prompt| prompt.as_ref().len()).max().unwrap_or(0);
        if longest == 0 || prompts.iter().any(|prompt| prompt.as_ref().is_empty()) {
            return Err(Error::new(ErrorKind::Argument, NAME, "prompt")
                .expecting("at least one token")
                .but_found("none"));
        }
        let (positions, room) = (self.model().facts().max_tokens, longest + most.saturating_sub(1));
        if room > positions {
            return Err(Error::new(ErrorKind::Limit, NAME, "tokens")
                .expecting(format!("at most {positions}, as many as the model has positions"))
                .but_found(format!("{longest} of the prompt and {most} more")));
        }
        Ok(room)
    }
}
