//! Prefix beam search (Hannun et al., arXiv 1408.2873, algorithm 1, without a language model).

use std::collections::HashMap;
use std::rc::Rc;

use super::prefixes::{Link, Pieces, Prefixes, in_order};
use super::{Beam, Piece};

/// `ln(exp(a) + exp(b))`.
pub(super) fn log_add(a: f64, b: f64) -> f64 {
    let (high, low) = if a > b { (a, b) } else { (b, a) };
    if low == f64::NEG_INFINITY { high } else { high + (low - high).exp().ln_1p() }
}

/// The likeliest alignment that ends in a certain way, and its logarithm.
#[derive(Clone, Debug)]
struct Path {
    log: f64,
    pieces: Pieces,
}

/// A prefix that is followed.
#[derive(Clone, Debug)]
struct State {
    prefix: usize,
    last: Option<u32>,
    /// Logarithms of the probabilities of all alignments that end in a blank, and in the last symbol.
    logs: [f64; 2],
    /// The likeliest of either kind.
    paths: [Path; 2],
}

impl State {
    /// Nothing heard yet: as if a blank came before the first frame.
    fn start() -> Self {
        let path = |log| Path { log, pieces: None };
        let logs = [0.0, f64::NEG_INFINITY];
        Self { prefix: 0, last: None, logs, paths: logs.map(path) }
    }

    fn total(&self) -> f64 {
        log_add(self.logs[0], self.logs[1])
    }

    /// The likelier kind of alignments, and the logarithm of the best.
    fn best(&self) -> (usize, f64) {
        let kind = usize::from(self.paths[1].log > self.paths[0].log);
        (kind, self.paths[kind].log)
    }
}

/// A prefix after one more frame.
#[derive(Debug)]
struct Candidate {
    prefix: Prefix,
    last: Option<u32>,
    logs: [f64; 2],
    /// Of each way to end the logarithm of the likeliest alignment, and which it goes on from: a beam, one of its paths, and how.
    paths: [(f64, Option<Origin>); 2],
}

/// Which prefix a candidate is: one that is followed already, or one and the next symbol.
#[derive(Clone, Copy, Debug)]
enum Prefix {
    Followed(usize),
    Longer(usize, u32),
}

#[derive(Clone, Copy, Debug)]
struct Origin {
    beam: usize,
    path: usize,
    heard: Heard,
}

/// What the frame adds to an alignment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heard {
    Blank,
    LastAgain,
    Next,
}

impl Candidate {
    fn new(prefix: Prefix, last: Option<u32>) -> Self {
        let none = (f64::NEG_INFINITY, None);
        Self { prefix, last, logs: [f64::NEG_INFINITY; 2], paths: [none, none] }
    }

    /// Takes in alignments that end in the way `ending` (0 in a blank, 1 in a symbol), and the likeliest of them.
    fn take(&mut self, ending: usize, log: f64, best: f64, origin: Origin) {
        self.logs[ending] = log_add(self.logs[ending], log);
        if best > self.paths[ending].0 {
            self.paths[ending] = (best, Some(origin));
        }
    }

    fn total(&self) -> f64 {
        log_add(self.logs[0], self.logs[1])
    }
}

/// A search under way. After a frame `width` prefixes are followed; kept are these and all shorter ones that they go on from, at most four times as
/// many as were needed when they were last pruned. During a frame there are `most` candidates, and those of one prefix more.
pub(super) struct Search {
    prefixes: Prefixes,
    blank: u32,
    width: usize,
    /// Candidates that are not followed yet, beyond which those are dropped that are not among the `width` likeliest.
    most: usize,
    followed: Vec<State>,
}

/// A followed prefix, with what is needed for each next symbol.
#[derive(Clone, Copy)]
struct Next<'a> {
    beam: usize,
    state: &'a State,
    total: f64,
    likelier: usize,
    best: f64,
}

impl Search {
    pub(super) fn new(blank: u32, width: usize) -> Self {
        let most = 2 * width.max(1 << 10);
        Self { prefixes: Prefixes::default(), blank, width, most, followed: vec![State::start()] }
    }

    /// What was found, likeliest first.
    pub(super) fn beams(&self) -> Vec<Beam> {
        let beam = |state: &State| Beam {
            pieces: in_order(&state.paths[state.best().0].pieces),
            log_probability: state.total(),
        };
        self.followed.iter().map(beam).collect()
    }

    /// Takes in one more frame, by the logarithms of its symbols' probabilities.
    pub(super) fn step(&mut self, frame: usize, logs: &[f64]) {
        let mut candidates = self.candidates(logs);
        candidates.retain(|candidate| candidate.total() > f64::NEG_INFINITY);
        candidates.sort_by(|a, b| b.total().total_cmp(&a.total()));
        candidates.truncate(self.width);
        self.followed = candidates.into_iter().map(|candidate| self.follow(candidate, frame)).collect();
        self.prefixes.prune(self.followed.iter().map(|state| state.prefix));
    }

    /// The prefixes with one more frame: those that are followed already, which can be reached in several ways, and behind them longer ones,
    /// each reached in one way.
    fn candidates(&self, logs: &[f64]) -> Vec<Candidate> {
        let beams: HashMap<usize, usize> =
            (0..).zip(&self.followed).map(|(beam, state)| (state.prefix, beam)).collect();
        let own = self.followed.iter();
        let mut candidates: Vec<Candidate> =
            own.map(|state| Candidate::new(Prefix::Followed(state.prefix), state.last)).collect();
        for (beam, state) in self.followed.iter().enumerate() {
            let (likelier, best) = state.best();
            let next = Next { beam, state, total: state.total(), likelier, best };
            for (symbol, &log) in (0..).zip(logs) {
                self.extend(&mut candidates, &beams, next, symbol, log);
            }
            self.drop_unlikely(&mut candidates);
        }
        candidates
    }

    /// Adds the alignments of a prefix and one more symbol to the candidate that they lead to.
    fn extend(
        &self,
        candidates: &mut Vec<Candidate>,
        beams: &HashMap<usize, usize>,
        Next { beam, state, total, likelier, best }: Next<'_>,
        symbol: u32,
        log: f64,
    ) {
        let from = |path, heard| Origin { beam, path, heard };
        if symbol == self.blank {
            candidates[beam].take(0, total + log, best + log, from(likelier, Heard::Blank));
            return;
        }
        // Without a blank between them two of a kind are one.
        let is_again = state.last == Some(symbol);
        if is_again {
            let again = state.paths[1].log + log;
            candidates[beam].take(1, state.logs[1] + log, again, from(1, Heard::LastAgain));
        }
        let (all, best, path) =
            if is_again { (state.logs[0], state.paths[0].log, 0) } else { (total, best, likelier) };
        let origin = from(path, Heard::Next);
        match self.prefixes.known(state.prefix, symbol).and_then(|number| beams.get(&number)) {
            Some(&longer) => candidates[longer].take(1, all + log, best + log, origin),
            None => {
                let mut longer = Candidate::new(Prefix::Longer(state.prefix, symbol), Some(symbol));
                longer.take(1, all + log, best + log, origin);
                candidates.push(longer);
            }
        }
    }

    /// Leaves out candidates that are not among the `width` likeliest already, where there are many: of those that are not followed yet, nothing more
    /// comes to what they have.
    fn drop_unlikely(&self, candidates: &mut Vec<Candidate>) {
        let (first, width) = (self.followed.len(), self.width);
        if candidates.len() - first > self.most {
            candidates[first..].select_nth_unstable_by(width, |a, b| b.total().total_cmp(&a.total()));
            candidates.truncate(first + width);
        }
    }

    /// A candidate that is kept, with its alignments.
    fn follow(&mut self, candidate: Candidate, frame: usize) -> State {
        let Candidate { prefix, last, logs, paths } = candidate;
        let path = |(log, origin): (f64, Option<Origin>)| {
            let Some(Origin { beam, path, heard }) = origin else { return Path { log, pieces: None } };
            let before = &self.followed[beam].paths[path].pieces;
            let link = |piece, before: &Pieces| Some(Rc::new(Link { piece, before: before.clone() }));
            let pieces = match (heard, last, before) {
                (Heard::Next, Some(symbol), _) => link(Piece { symbol, frames: frame..frame + 1 }, before),
                (Heard::LastAgain, _, Some(last)) => {
                    let piece =
                        Piece { symbol: last.piece.symbol, frames: last.piece.frames.start..frame + 1 };
                    link(piece, &last.before)
                }
                _ => before.clone(),
            };
            Path { log, pieces }
        };
        let paths = paths.map(path);
        let prefix = match prefix {
            Prefix::Followed(number) => number,
            Prefix::Longer(before, symbol) => self.prefixes.longer(before, symbol),
        };
        State { prefix, last, logs, paths }
    }
}

#[cfg(test)]
mod tests {
    use super::super::log_softmax;
    use super::*;

    /// Against the same search with everything kept: texts that are dropped and come back are the same ones. The second has more candidates in a frame than
    /// are kept until its end.
    #[test]
    fn what_is_dropped_changes_nothing() {
        for (frames, count, width) in [(60, 4, 3), (12, 300, 16)] {
            let mut random = crate::Random::new(3);
            let scores: Vec<f32> = (0..frames * count).map(|_| 2.0 * random.next_normal()).collect();
            let mut all = Search { prefixes: Prefixes::all(), most: usize::MAX, ..Search::new(0, width) };
            let mut pruned = Search::new(0, width);
            let (mut most, mut ever, mut candidates) = (0, 0, [0; 2]);
            for (frame, row) in scores.chunks(count).enumerate() {
                let logs = log_softmax(row);
                candidates[0] = candidates[0].max(all.candidates(&logs).len());
                candidates[1] = candidates[1].max(pruned.candidates(&logs).len());
                all.step(frame, &logs);
                pruned.step(frame, &logs);
                most = most.max(pruned.prefixes.len());
                ever = all.prefixes.len();
                assert_eq!(all.beams(), pruned.beams(), "frame {frame} of {count} symbols");
            }
            let length = pruned.beams()[0].pieces.len();
            assert!(most <= Prefixes::most(length, width) && ever > most, "{most} of {ever}, {length} long");
            let bound = width + pruned.most;
            assert!(candidates[1] <= bound, "{} of {}", candidates[1], candidates[0]);
            assert_eq!(candidates[0] > bound, count == 300, "{} of {}", candidates[1], candidates[0]);
        }
    }
}
