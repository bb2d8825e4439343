//! From scores of frames to symbols: what a network trained by CTC has heard (Graves et al., "Connectionist Temporal Classification", ICML 2006).

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::rc::Rc;

use crate::processing::check_rows;
use crate::{Error, ErrorKind, Result};

/// The most beams.
const MOST_BEAMS: usize = 1 << 12;

/// A symbol, and the frames that it was heard in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Its number.
    pub symbol: u32,
    /// From the first frame to the one behind the last.
    pub frames: Range<usize>,
}

/// A sequence of symbols, and how likely it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Beam {
    /// The symbols, with the frames of the likeliest alignment.
    pub pieces: Vec<Piece>,
    /// The natural logarithm of the probability of all alignments together that were followed.
    pub log_probability: f64,
}

/// The likeliest symbol of every frame of `scores: [frames, symbols]`, those that follow themselves once, without blanks. Of equals it is the first.
///
/// Fails when there is not a row of `symbols` scores for each frame, or the blank is none of them.
pub fn greedy(scores: &[f32], symbols: usize, blank: u32) -> Result<Vec<Piece>> {
    let rows = check(scores, symbols, blank)?;
    let mut pieces: Vec<Piece> = Vec::new();
    let mut last = blank;
    for (frame, row) in rows.enumerate() {
        let best = (0..symbols).reduce(|best, other| if row[other] > row[best] { other } else { best });
        let symbol = best.unwrap_or_default() as u32;
        match pieces.last_mut().filter(|_| symbol == last) {
            Some(piece) if symbol != blank => piece.frames.end = frame + 1,
            _ if symbol != blank => pieces.push(Piece { symbol, frames: frame..frame + 1 }),
            _ => {}
        }
        last = symbol;
    }
    Ok(pieces)
}

/// The likeliest sequences of symbols for `scores: [frames, symbols]`, of which softmax makes probabilities, likeliest first: a search that keeps the
/// `width` likeliest beginnings after each frame, each with all of its alignments (Hannun et al., arXiv 1408.2873, algorithm 1, without a language
/// model).
///
/// Fails as [`greedy`] does, and for a width of 0 or more than 4096.
pub fn prefix_beams(scores: &[f32], symbols: usize, blank: u32, width: usize) -> Result<Vec<Beam>> {
    let rows = check(scores, symbols, blank)?;
    if !(1..=MOST_BEAMS).contains(&width) {
        let error = Error::new(ErrorKind::Argument, "ctc", "beams");
        return Err(error.expecting(format!("1 to {MOST_BEAMS}")).but_found(width));
    }
    let mut search = Search::new(blank, width);
    for (frame, row) in rows.enumerate() {
        search.step(frame, &log_softmax(row));
    }
    let beams = search.beams.iter().map(|state| Beam {
        pieces: in_order(&state.paths[state.best().0].pieces),
        log_probability: state.total(),
    });
    Ok(beams.collect())
}

/// The rows of `scores`.
fn check(scores: &[f32], symbols: usize, blank: u32) -> Result<std::slice::ChunksExact<'_, f32>> {
    if blank as usize >= symbols {
        return Err(Error::new(ErrorKind::Argument, "ctc", "blank")
            .expecting(format!("below the {symbols} symbols"))
            .but_found(blank));
    }
    check_rows(scores, scores.len() / symbols, Some(symbols))?;
    Ok(scores.chunks_exact(symbols))
}

fn log_softmax(row: &[f32]) -> Vec<f64> {
    let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = row.iter().map(|score| f64::from(score - largest).exp()).sum();
    row.iter().map(|score| f64::from(score - largest) - sum.ln()).collect()
}

/// `ln(exp(a) + exp(b))`.
fn log_add(a: f64, b: f64) -> f64 {
    let (high, low) = if a > b { (a, b) } else { (b, a) };
    if low == f64::NEG_INFINITY { high } else { high + (low - high).exp().ln_1p() }
}

/// The beginnings that are followed, and those that they are longer than. The empty one is number 0.
#[derive(Debug, Default)]
struct Prefixes {
    /// By the number of the one before and the symbol.
    numbers: HashMap<(usize, u32), usize>,
    /// The one before each, and the symbol.
    before: HashMap<usize, (usize, u32)>,
    next: usize,
}

impl Prefixes {
    /// How many may be kept for each one that is followed before those are dropped that nothing followed goes on from.
    const SLACK: usize = 4;

    fn longer(&mut self, prefix: usize, symbol: u32) -> usize {
        *self.numbers.entry((prefix, symbol)).or_insert_with(|| {
            self.next += 1;
            self.before.insert(self.next, (prefix, symbol));
            self.next
        })
    }

    /// Drops what no beginning in `followed` goes on from, where that is much of it by now.
    fn prune(&mut self, followed: &[State], kept: &mut usize) {
        if self.before.len() <= Self::SLACK * (*kept).max(followed.len()) {
            return;
        }
        let mut needed = HashSet::new();
        for state in followed {
            let mut prefix = state.prefix;
            while prefix != 0 && needed.insert(prefix) {
                prefix = self.before.get(&prefix).map_or(0, |&(before, _)| before);
            }
        }
        self.before.retain(|number, _| needed.contains(number));
        self.numbers.retain(|_, number| needed.contains(number));
        *kept = needed.len();
    }
}

/// The symbols of an alignment with their frames, the last one first; alignments share what they have in common.
#[derive(Debug)]
struct Link {
    piece: Piece,
    before: Pieces,
}

type Pieces = Option<Rc<Link>>;

impl Drop for Link {
    /// One after the other: as many calls inside one another as a recording has symbols would be too many.
    fn drop(&mut self) {
        let mut before = self.before.take();
        while let Some(mut link) = before.and_then(Rc::into_inner) {
            before = link.before.take();
        }
    }
}

/// The symbols of an alignment in their order.
fn in_order(last: &Pieces) -> Vec<Piece> {
    let links = std::iter::successors(last.as_deref(), |link| link.before.as_deref());
    let mut pieces: Vec<Piece> = links.map(|link| link.piece.clone()).collect();
    pieces.reverse();
    pieces
}

/// The likeliest alignment that ends in a certain way, and its logarithm.
#[derive(Clone, Debug)]
struct Path {
    log: f64,
    pieces: Pieces,
}

/// A beginning that is followed.
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

/// A beginning after one more frame.
#[derive(Debug)]
struct Candidate {
    prefix: Prefix,
    last: Option<u32>,
    logs: [f64; 2],
    /// Of each way to end the logarithm of the likeliest alignment, and which it goes on from: a beam, one of its paths, and how.
    paths: [(f64, Option<Origin>); 2],
}

/// Which beginning a candidate is: one that is followed already, or one and the next symbol.
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

/// A search under way. It holds a few times `width` beginnings at once, however many symbols and frames there are.
struct Search {
    prefixes: Prefixes,
    /// Beginnings that were left when they were last dropped.
    kept: usize,
    blank: u32,
    width: usize,
    beams: Vec<State>,
}

impl Search {
    fn new(blank: u32, width: usize) -> Self {
        Self { prefixes: Prefixes::default(), kept: 0, blank, width, beams: vec![State::start()] }
    }

    fn step(&mut self, frame: usize, logs: &[f64]) {
        let followed: HashMap<usize, usize> =
            (0..).zip(&self.beams).map(|(beam, state)| (state.prefix, beam)).collect();
        // Those that are followed already can be reached in several ways, and come first; each of the others in one way alone.
        let mut candidates: Vec<Candidate> = self
            .beams
            .iter()
            .map(|state| Candidate::new(Prefix::Followed(state.prefix), state.last))
            .collect();
        for (beam, state) in self.beams.iter().enumerate() {
            let (likelier, best) = state.best();
            let from = |path, heard| Origin { beam, path, heard };
            for (symbol, &log) in (0..).zip(logs) {
                if symbol == self.blank {
                    candidates[beam].take(0, state.total() + log, best + log, from(likelier, Heard::Blank));
                    continue;
                }
                // Without a blank between them two of a kind are one.
                let is_again = state.last == Some(symbol);
                if is_again {
                    let again = state.paths[1].log + log;
                    candidates[beam].take(1, state.logs[1] + log, again, from(1, Heard::LastAgain));
                }
                let (all, best, path) = if is_again {
                    (state.logs[0], state.paths[0].log, 0)
                } else {
                    (state.total(), best, likelier)
                };
                let origin = from(path, Heard::Next);
                let known = self
                    .prefixes
                    .numbers
                    .get(&(state.prefix, symbol))
                    .and_then(|number| followed.get(number));
                match known {
                    Some(&longer) => candidates[longer].take(1, all + log, best + log, origin),
                    None => {
                        let mut longer = Candidate::new(Prefix::Longer(state.prefix, symbol), Some(symbol));
                        longer.take(1, all + log, best + log, origin);
                        candidates.push(longer);
                    }
                }
            }
            self.drop_unlikely(&mut candidates);
        }
        candidates.retain(|candidate| candidate.total() > f64::NEG_INFINITY);
        candidates.sort_by(|a, b| b.total().total_cmp(&a.total()));
        candidates.truncate(self.width);
        let beams = candidates.into_iter().map(|candidate| self.followed(candidate, frame)).collect();
        self.beams = beams;
        self.prefixes.prune(&self.beams, &mut self.kept);
    }

    /// Leaves out candidates that are not among the `width` likeliest already, where there are many: of those that are not followed yet, nothing more
    /// comes to what they have.
    fn drop_unlikely(&self, candidates: &mut Vec<Candidate>) {
        let (first, width) = (self.beams.len(), self.width);
        if candidates.len() - first > 2 * width.max(1 << 10) {
            candidates[first..].select_nth_unstable_by(width, |a, b| b.total().total_cmp(&a.total()));
            candidates.truncate(first + width);
        }
    }

    /// A candidate that is kept, with its alignments.
    fn followed(&mut self, candidate: Candidate, frame: usize) -> State {
        let Candidate { prefix, last, logs, paths } = candidate;
        let path = |(log, origin): (f64, Option<Origin>)| {
            let Some(Origin { beam, path, heard }) = origin else { return Path { log, pieces: None } };
            let before = &self.beams[beam].paths[path].pieces;
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
    use super::*;

    fn symbols(pieces: &[Piece]) -> Vec<u32> {
        pieces.iter().map(|piece| piece.symbol).collect()
    }

    /// Scores of the symbols of `heard`, 9 for that of a frame and 0 for the others.
    fn scores(heard: &[u32], symbols: usize) -> Vec<f32> {
        let row =
            |&symbol: &u32| (0..symbols as u32).map(move |other| if other == symbol { 9.0 } else { 0.0 });
        heard.iter().flat_map(row).collect()
    }

    #[test]
    fn symbols_are_heard_once_unless_a_blank_parts_them() {
        let scores = scores(&[0, 2, 2, 0, 2, 1, 1, 1, 0], 3);
        let expected = [(2, 1..3), (2, 4..5), (1, 5..8)].map(|(symbol, frames)| Piece { symbol, frames });
        assert_eq!(greedy(&scores, 3, 0).unwrap(), expected);
        let beams = prefix_beams(&scores, 3, 0, 4).unwrap();
        assert_eq!(beams[0].pieces, expected);
        assert!(
            beams[0].log_probability > -0.1
                && beams.windows(2).all(|two| { two[0].log_probability >= two[1].log_probability })
        );
        assert!(greedy(&[], 3, 0).unwrap().is_empty());
        let nothing = prefix_beams(&[], 3, 0, 2).unwrap();
        assert_eq!((nothing.len(), nothing[0].log_probability), (1, 0.0));
    }

    /// Of two frames, each 0.6 blank and 0.4 a, the best path is silence (0.36), and the likeliest text is a (0.64).
    #[test]
    fn the_likeliest_text_is_not_always_that_of_the_likeliest_path() {
        let row = [0.6f32.ln(), 0.4f32.ln()];
        let scores = [row, row].concat();
        assert!(greedy(&scores, 2, 0).unwrap().is_empty());
        let beams = prefix_beams(&scores, 2, 0, 3).unwrap();
        assert_eq!(symbols(&beams[0].pieces), [1]);
        assert!((beams[0].log_probability - 0.64f64.ln()).abs() < 1e-6);
        assert!((beams[1].log_probability - 0.36f64.ln()).abs() < 1e-6);
    }

    /// Against the sum over all paths, for all texts of a few frames.
    #[test]
    fn probabilities_are_those_of_all_paths_together() {
        let (frames, count) = (5, 3);
        let scores: Vec<f32> = (0..frames * count).map(|at| ((at * at) as f32 * 0.9).sin() * 2.0).collect();
        let rows: Vec<Vec<f64>> = scores.chunks(count).map(log_softmax).collect();
        let mut texts: HashMap<Vec<u32>, f64> = HashMap::new();
        for path in 0..count.pow(frames as u32) {
            let heard: Vec<u32> = (0..frames as u32).map(|t| (path / count.pow(t) % count) as u32).collect();
            let log: f64 = heard.iter().zip(&rows).map(|(&symbol, row)| row[symbol as usize]).sum();
            let text: Vec<u32> = heard
                .iter()
                .enumerate()
                .filter(|&(t, &symbol)| symbol != 0 && (t == 0 || heard[t - 1] != symbol))
                .map(|(_, &symbol)| symbol)
                .collect();
            let entry = texts.entry(text).or_insert(f64::NEG_INFINITY);
            *entry = log_add(*entry, log);
        }
        let beams = prefix_beams(&scores, count, 0, 1000).unwrap();
        assert_eq!(beams.len(), texts.len());
        for beam in beams {
            let expected = texts[&symbols(&beam.pieces)];
            assert!((beam.log_probability - expected).abs() < 1e-9, "{beam:?} {expected}");
            assert!(beam.pieces.windows(2).all(|two| two[0].frames.end <= two[1].frames.start), "{beam:?}");
        }
    }

    /// Against the same search with everything kept: texts that are dropped and come back are the same ones.
    #[test]
    fn what_is_dropped_changes_nothing() {
        let (frames, count, width) = (60, 4, 3);
        let mut random = crate::Random::new(3);
        let scores: Vec<f32> = (0..frames * count).map(|_| 2.0 * random.next_normal()).collect();
        let mut all = Search::new(0, width);
        let mut pruned = Search::new(0, width);
        let (mut most, mut ever) = (0, 0);
        for (frame, row) in scores.chunks(count).enumerate() {
            let logs = log_softmax(row);
            all.kept = usize::MAX / Prefixes::SLACK;
            all.step(frame, &logs);
            pruned.step(frame, &logs);
            most = most.max(pruned.prefixes.numbers.len());
            ever = all.prefixes.numbers.len();
            for (a, b) in all.beams.iter().zip(&pruned.beams) {
                assert_eq!(in_order(&a.paths[a.best().0].pieces), in_order(&b.paths[b.best().0].pieces));
                assert_eq!(a.total(), b.total());
            }
        }
        let length = in_order(&pruned.beams[0].paths[pruned.beams[0].best().0].pieces).len();
        assert!(
            most <= Prefixes::SLACK * (length + 2 * width) && ever > most,
            "{most} of {ever}, {length} long"
        );
    }

    /// Memory grows with beams and frames, not with their product with the symbols, and a long list of symbols is freed without recursion.
    #[test]
    fn a_long_recording_by_many_beams_is_followed() {
        let (frames, count) = (3_000, 40);
        let scores: Vec<f32> = (0..frames * count).map(|at| ((at * at % 1013) as f32 * 0.37).sin()).collect();
        let beams = prefix_beams(&scores, count, 0, 64).unwrap();
        assert_eq!(beams.len(), 64);
        assert!(beams[0].pieces.len() > 1_000, "{}", beams[0].pieces.len());
    }

    #[test]
    fn a_blank_that_is_no_symbol_rows_that_are_cut_and_no_beams_are_refused() {
        assert_eq!(greedy(&[0.0; 4], 2, 2).unwrap_err().kind(), ErrorKind::Argument);
        assert_eq!(greedy(&[0.0; 5], 2, 0).unwrap_err().kind(), ErrorKind::Shape);
        assert_eq!(greedy(&[], 0, 0).unwrap_err().kind(), ErrorKind::Argument);
        assert_eq!(prefix_beams(&[0.0; 4], 2, 0, 0).unwrap_err().kind(), ErrorKind::Argument);
    }
}
