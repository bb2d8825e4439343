//! How the next token is chosen by the scores of all tokens.

use super::NAME;
use crate::{Error, ErrorKind, Random, Result};

/// How the next token is chosen. What is set is applied in this order: repetition penalty, temperature, top-k, top-p.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// What scores of tokens that are in the text already are divided by, or multiplied with where they are negative (CTRL, arXiv
    /// 1909.05858, section 4.1); 1 changes nothing.
    pub repetition_penalty: f32,
    /// What scores are divided by: below 1 likely tokens get likelier; 0 takes the likeliest.
    pub temperature: f32,
    /// How many of the likeliest tokens are drawn from; all of them when 0.
    pub top_k: usize,
    /// The likeliest tokens are drawn from, as many as together have this probability (Holtzman et al., arXiv 1904.09751, section 3.1):
    /// at least one; all of them when 1.
    pub top_p: f32,
}

impl Default for Sampling {
    /// The likeliest token.
    fn default() -> Self {
        Self { repetition_penalty: 1.0, temperature: 0.0, top_k: 0, top_p: 1.0 }
    }
}

impl Sampling {
    /// Refuses settings without a meaning.
    pub fn check(&self) -> Result<()> {
        let refused = |argument: &str, expected: &str, found: f32| {
            Err(Error::new(ErrorKind::Argument, NAME, argument).expecting(expected).but_found(found))
        };
        if !(self.temperature.is_finite() && self.temperature >= 0.0) {
            return refused("temperature", "a number of at least 0", self.temperature);
        }
        if !(self.repetition_penalty.is_finite() && self.repetition_penalty > 0.0) {
            return refused("repetition_penalty", "a number above 0", self.repetition_penalty);
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return refused("top_p", "a probability above 0 and of at most 1", self.top_p);
        }
        Ok(())
    }

    /// Divides the scores of tokens in `text`, each once.
    pub(super) fn penalize(&self, scores: &mut [f32], text: &[u32]) {
        if self.repetition_penalty == 1.0 {
            return;
        }
        let mut seen = vec![false; scores.len()];
        for &id in text {
            let Some(score) = scores.get_mut(id as usize) else { continue };
            if std::mem::replace(&mut seen[id as usize], true) {
                continue;
            }
            *score = if *score < 0.0 {
                *score * self.repetition_penalty
            } else {
                *score / self.repetition_penalty
            };
        }
    }

    /// The tokens that may be drawn, likeliest first, and their scores over the temperature; of equal scores the lower id comes first.
    ///
    /// Fails with [`ErrorKind::Diverged`] when a score is not finite.
    pub fn candidates(&self, scores: &[f32]) -> Result<Vec<(u32, f64)>> {
        if let Some(at) = scores.iter().position(|score| !score.is_finite()) {
            return Err(Error::new(ErrorKind::Diverged, NAME, format!("score of token {at}"))
                .expecting("a finite number")
                .but_found(scores[at]));
        }
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
        let temperature = if self.temperature == 0.0 { 1.0 } else { f64::from(self.temperature) };
        let most = if self.temperature == 0.0 { 1 } else { self.top_k };
        let kept = if most == 0 { order.len() } else { most.min(order.len()) };
        let mut kept: Vec<(u32, f64)> =
            order[..kept].iter().map(|&at| (at as u32, f64::from(scores[at]) / temperature)).collect();
        if self.top_p < 1.0 && kept.len() > 1 {
            let highest = kept[0].1;
            let weight = |(_, score): &(u32, f64)| (score - highest).exp();
            let total: f64 = kept.iter().map(weight).sum();
            // A token stays when those before it have less than the probability asked for.
            let mut before = 0.0;
            let stays = kept.iter().take_while(|candidate| {
                let stays = before < f64::from(self.top_p) * total;
                before += weight(candidate);
                stays
            });
            let count = stays.count();
            kept.truncate(count);
        }
        Ok(kept)
    }

    /// Draws one of the candidates. Fails as [`Sampling::candidates`] does.
    pub fn draw(&self, scores: &[f32], random: &mut Random) -> Result<u32> {
        let candidates = self.candidates(scores)?;
        let highest = candidates.first().map_or(0.0, |(_, score)| *score);
        let weight = |score: f64| (score - highest).exp();
        let total: f64 = candidates.iter().map(|(_, score)| weight(*score)).sum();
        let mut left = total * (f64::from(random.next_f32()) + 1.0) / 2.0;
        for &(id, score) in &candidates {
            left -= weight(score);
            if left < 0.0 {
                return Ok(id);
            }
        }
        candidates.last().map(|(id, _)| *id).ok_or_else(|| {
            Error::new(ErrorKind::Argument, NAME, "scores").expecting("at least one").but_found("none")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_follow_temperature_and_top_k() {
        let scores = [0.0, 3.0, 1.0, 2.0];
        let mut random = Random::new(1);
        let mut drawn = |temperature, top_k| {
            let sampling = Sampling { temperature, top_k, ..Sampling::default() };
            let mut counts = [0; 4];
            for _ in 0..4000 {
                counts[sampling.draw(&scores, &mut random).unwrap() as usize] += 1;
            }
            counts
        };
        assert_eq!(drawn(0.0, 0), [0, 4000, 0, 0]);
        let [none, most, also_none, fewer] = drawn(1.0, 2);
        assert_eq!((none, also_none), (0, 0));
        assert!((most as f64 / fewer as f64 - 1f64.exp()).abs() < 0.3, "{most} to {fewer}");
        assert!(drawn(10.0, 0).iter().all(|&count| count > 700));
    }

    #[test]
    fn top_p_keeps_the_fewest_that_have_the_probability() {
        let scores = [0.1f32.ln(), 0.5f32.ln(), 0.4f32.ln()];
        let kept = |top_p| {
            let sampling = Sampling { temperature: 1.0, top_p, ..Sampling::default() };
            let candidates = sampling.candidates(&scores).unwrap();
            candidates.into_iter().map(|(id, _)| id).collect::<Vec<_>>()
        };
        assert_eq!(kept(0.3), [1]);
        assert_eq!(kept(0.6), [1, 2]);
        assert_eq!(kept(0.95), [1, 2, 0]);
    }

    #[test]
    fn a_repeated_token_gets_less_likely_once() {
        let sampling = Sampling { repetition_penalty: 2.0, ..Sampling::default() };
        let mut scores = [4.0, -4.0, 1.0];
        sampling.penalize(&mut scores, &[0, 1, 0, 0]);
        assert_eq!(scores, [2.0, -8.0, 1.0]);
    }

    #[test]
    fn scores_that_are_no_numbers_are_refused() {
        let error = Sampling::default().candidates(&[1.0, f32::NAN]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Diverged);
    }
}
