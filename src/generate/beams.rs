//! Beam search: the likeliest continuations, several kept at a time.
//!
//! As Hugging Face's `BeamSearchScorer` of release 4.35
//! (<https://github.com/huggingface/transformers/blob/v4.35.2/src/transformers/generation/beam_search.py>) with `early_stopping=False`.

use super::{Generator, NAME};
use crate::{Error, ErrorKind, Result};

/// How beams are searched: `BeamOptions::new(40, 4).stop(ids)`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BeamOptions {
    /// The most tokens that are added.
    pub most: usize,
    /// How many texts are kept at a time.
    pub beams: usize,
    /// What a text's length is raised to before its log-probability is divided by it: above 0 favours longer ones.
    pub length_penalty: f32,
    /// Tokens that end a text; they are not part of it.
    pub stop: Vec<u32>,
}

impl BeamOptions {
    /// At most `most` tokens more by `beams` beams, with a length penalty of 1 and without tokens that end a text.
    pub fn new(most: usize, beams: usize) -> Self {
        Self { most, beams, length_penalty: 1.0, stop: Vec::new() }
    }

    /// Divides log-probabilities by the text's length to this power.
    #[must_use]
    pub fn length_penalty(self, length_penalty: f32) -> Self {
        Self { length_penalty, ..self }
    }

    /// Ends a text at any of `tokens`.
    #[must_use]
    pub fn stop(self, tokens: impl Into<Vec<u32>>) -> Self {
        Self { stop: tokens.into(), ..self }
    }
}

/// A text that was found.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Hypothesis {
    /// Its tokens, the prompt included, or the start token of an encoder-decoder.
    pub tokens: Vec<u32>,
    /// Its log-probability over its length to the power of the penalty.
    pub score: f64,
}

/// Finished texts, as many as there are beams at most.
#[derive(Debug)]
struct Finished {
    kept: Vec<Hypothesis>,
    most: usize,
    penalty: f64,
}

impl Finished {
    fn add(&mut self, tokens: &[u32], sum: f64) {
        let score = sum / (tokens.len() as f64).powf(self.penalty);
        if self.kept.len() == self.most && self.kept.iter().all(|kept| score <= kept.score) {
            return;
        }
        self.kept.push(Hypothesis { tokens: tokens.to_vec(), score });
        // Stable: of equal scores the older stays.
        self.kept.sort_by(|a, b| b.score.total_cmp(&a.score));
        self.kept.truncate(self.most);
    }

    /// Whether no text of `length` tokens with a log-probability of at most `best` would be kept.
    fn is_done(&self, best: f64, length: usize) -> bool {
        self.kept.len() == self.most
            && self.kept.iter().all(|kept| kept.score >= best / (length as f64).powf(self.penalty))
    }
}

/// A text under way.
#[derive(Clone, Debug)]
struct Beam {
    tokens: Vec<u32>,
    sum: f64,
}

impl Generator {
    /// The likeliest continuations of `prompt`, best first: as many as there are beams. An encoder-decoder reads the prompt as a source text;
    /// what it writes begins with its start token.
    ///
    /// Fails when the prompt is empty, when it and its continuation have more tokens than the model has positions, when there are no
    /// beams or more than the vocabulary has tokens, when the penalty is not finite, and as [`Generator::feed`] does.
    pub fn beams(&mut self, prompt: &[u32], options: &BeamOptions) -> Result<Vec<Hypothesis>> {
        let BeamOptions { most, beams, length_penalty, ref stop } = *options;
        let vocabulary = self.model().facts().vocab_size;
        if !(1..=vocabulary).contains(&beams) {
            return Err(Error::new(ErrorKind::Argument, NAME, "beams")
                .expecting(format!("1 to {vocabulary}, as many as there are tokens"))
                .but_found(beams));
        }
        if !length_penalty.is_finite() {
            return Err(Error::new(ErrorKind::Argument, NAME, "length_penalty")
                .expecting("a finite number")
                .but_found(length_penalty));
        }
        let (mut streams, texts) = self.begin(&[prompt], beams, most, false)?;
        let mut finished = Finished { kept: Vec::new(), most: beams, penalty: length_penalty.into() };
        let mut fresh = texts.clone();
        let mut kept: Vec<Beam> = texts.into_iter().map(|tokens| Beam { tokens, sum: 0.0 }).collect();
        // All but the first begin as if impossible, or all would be the same.
        kept[1..].iter_mut().for_each(|beam| beam.sum = -1e9);
        for _ in 0..most {
            let scores = self.feed(&mut streams, &fresh.iter().map(Vec::as_slice).collect::<Vec<_>>())?;
            // Enough that as many as there are beams go on, whichever end.
            let candidates = candidates(&kept, scores, beams.saturating_mul((1 + stop.len()).max(2)))?;
            let mut parents = Vec::with_capacity(beams);
            let mut next = Vec::with_capacity(beams);
            let best = candidates.first().map_or(f64::NEG_INFINITY, |(_, _, sum)| *sum);
            for (rank, &(beam, token, sum)) in candidates.iter().enumerate() {
                if stop.contains(&token) {
                    if rank < beams {
                        finished.add(&kept[beam].tokens, sum);
                    }
                    continue;
                }
                if next.len() < beams {
                    let tokens = kept[beam].tokens.iter().copied().chain([token]).collect();
                    next.push(Beam { tokens, sum });
                    parents.push(beam);
                }
            }
            // A vocabulary of little more than stop tokens leaves fewer than there are beams.
            while next.len() < beams {
                let last = next.len().saturating_sub(1);
                let (beam, parent) = match next.get(last) {
                    Some(beam) => (Beam { sum: -1e9, ..Beam::clone(beam) }, parents[last]),
                    None => return Ok(finished.kept),
                };
                next.push(beam);
                parents.push(parent);
            }
            kept = next;
            if finished.is_done(best, kept[0].tokens.len()) {
                return Ok(finished.kept);
            }
            self.reorder(&mut streams, &parents)?;
            fresh = kept.iter().map(|beam| beam.tokens[beam.tokens.len() - 1..].to_vec()).collect();
        }
        kept.iter().for_each(|beam| finished.add(&beam.tokens, beam.sum));
        Ok(finished.kept)
    }
}

/// The `most` likeliest pairs of a beam and its next token, with the log-probability of both; of equal ones the first.
fn candidates(beams: &[Beam], scores: Vec<Option<Vec<f32>>>, most: usize) -> Result<Vec<(usize, u32, f64)>> {
    let mut all = Vec::new();
    for (beam, scores) in scores.into_iter().enumerate() {
        let scores = scores.unwrap_or_default();
        if let Some(at) = scores.iter().position(|score| !score.is_finite()) {
            return Err(Error::new(ErrorKind::Diverged, NAME, format!("score of token {at}"))
                .expecting("a finite number")
                .but_found(scores[at]));
        }
        let highest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f64 = scores.iter().map(|score| f64::from(score - highest).exp()).sum();
        let norm = f64::from(highest) + sum.ln();
        let log =
            |(token, score): (usize, &f32)| (beam, token as u32, beams[beam].sum + f64::from(*score) - norm);
        let mut own: Vec<(usize, u32, f64)> = scores.iter().enumerate().map(log).collect();
        let most = most.min(own.len());
        if most < own.len() {
            own.select_nth_unstable_by(most, |a, b| b.2.total_cmp(&a.2).then(a.1.cmp(&b.1)));
        }
        all.extend_from_slice(&own[..most]);
    }
    all.sort_by(|a, b| b.2.total_cmp(&a.2).then((a.0, a.1).cmp(&(b.0, b.1))));
    all.truncate(most);
    Ok(all)
}
