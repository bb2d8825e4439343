//! What is computed on the host before and behind a model of speech: features of waves, and texts of scores. They pass through the graph as
//! constants.

use foveate::processing::sound::{Beam, LogMel, Piece, greedy, normalised_bins, prefix_beams};
use foveate::{HostTensor, ops};

use crate::Result;
use crate::case::Case;
use crate::mechanisms::{Row, row};

pub(crate) const ROWS: &[Row] = &[
    row("CTC decoding", ctc_decoding),
    row("log-mel filterbank, Kaldi convention (as HF SeamlessM4T / Speech2Text extractors)", log_mel),
];

/// As many beams as there are texts of a case, so that none is left out.
const ALL: usize = 1 << 12;

fn output(case: &mut Case<'_>, name: &str, found: HostTensor) -> Result<()> {
    let value = ops::constant(&mut case.recording.graph, found)?;
    case.output(name, value)
}

/// The waveform has whole numbers of 16 bits.
fn log_mel(case: &mut Case<'_>) -> Result<()> {
    let spec = &case.file.spec;
    let [rate, bins] = ["sample_rate", "mel_bins"].map(|key| spec.count(key).map(|count| count as usize));
    spec.pass_over(&["normalised", "source"]);
    let mel = LogMel::new(rate?, bins?)?;
    let waveform = case.file.tensors.get("waveform")?.to_f32();
    let samples: Vec<f32> = waveform.into_iter().map(|sample| sample / 32_768.0).collect();
    let features = mel.features(&samples);
    let shape = [mel.frames(samples.len()), mel.bins()];
    let normalised = normalised_bins(&features, mel.bins());
    output(case, "features", HostTensor::f32(shape, features)?)?;
    output(case, "normalised", HostTensor::f32(shape, normalised)?)
}

/// Symbols filled up with -1.
fn filled_up(pieces: &[Piece], length: usize) -> Vec<i32> {
    let symbols = pieces.iter().map(|piece| piece.symbol as i32);
    symbols.chain(std::iter::repeat(-1)).take(length.max(pieces.len())).collect()
}

fn ctc_decoding(case: &mut Case<'_>) -> Result<()> {
    let spec = &case.file.spec;
    let (blank, width) = (spec.count("blank")?, spec.count("beam_width")? as usize);
    let logits = case.file.tensors.get("logits")?;
    let [batch, frames, symbols]: [usize; 3] = logits.shape().dims().try_into()?;
    let logits = logits.to_f32();
    let lengths: Vec<usize> =
        case.file.tensors.get("input_length")?.to_f64().into_iter().map(|length| length as usize).collect();
    let longest = |name: &str| -> Result<usize> {
        Ok(case.file.tensors.get(name)?.shape().dims().last().copied().unwrap_or_default())
    };
    let [of_greedy, of_beams, of_exact] =
        [longest("greedy_ids")?, longest("beam_ids")?, longest("exact_ids")?];
    let (mut greedy_ids, mut beam_ids, mut exact_ids) = (vec![], vec![], vec![]);
    let (mut beam_scores, mut exact_scores) = (vec![], vec![]);
    for (item, length) in lengths.into_iter().enumerate() {
        let own = &logits[item * frames * symbols..][..length * symbols];
        greedy_ids.extend(filled_up(&greedy(own, symbols, blank)?, of_greedy));
        for Beam { pieces, log_probability, .. } in prefix_beams(own, symbols, blank, width)? {
            beam_ids.extend(filled_up(&pieces, of_beams));
            beam_scores.push(log_probability as f32);
        }
        let exact = prefix_beams(own, symbols, blank, ALL)?.swap_remove(0);
        exact_ids.extend(filled_up(&exact.pieces, of_exact));
        exact_scores.push(exact.log_probability as f32);
    }
    output(case, "greedy_ids", HostTensor::i32([batch, of_greedy], greedy_ids)?)?;
    output(case, "beam_ids", HostTensor::i32([batch, width, of_beams], beam_ids)?)?;
    output(case, "beam_score", HostTensor::f32([batch, width], beam_scores)?)?;
    output(case, "exact_ids", HostTensor::i32([batch, of_exact], exact_ids)?)?;
    output(case, "exact_score", HostTensor::f32([batch], exact_scores)?)
}
