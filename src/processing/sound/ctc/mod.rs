//! From scores of frames to symbols: what a network trained by CTC has heard (Graves et al., "Connectionist Temporal Classification", ICML 2006).

mod prefixes;
mod search;

use std::ops::Range;

use search::Search;

use crate::processing::check_rows;
use crate::{Error, ErrorKind, Result};

/// The most beams.
const MOST_BEAMS: usize = 1 << 12;

/// A symbol, and the frames that it was heard in.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Piece {
    /// Its number.
    pub symbol: u32,
    /// From the first frame to the one behind the last.
    pub frames: Range<usize>,
}

/// A sequence of symbols, and how likely it is.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
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
/// `width` likeliest prefixes after each frame, each with all of its alignments (Hannun et al., arXiv 1408.2873, algorithm 1, without a language
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
    Ok(search.beams())
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

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::search::log_add;
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
