//! Masks: where they are, and which tokens the model puts there.

use foveate::tokenize::Tokenizer;
use foveate::{Error, ErrorKind, HostTensor, Result};
use serde::Serialize;

use super::encoding::Input;

/// One mask of a sequence.
#[derive(Debug, Serialize)]
pub(super) struct Mask {
    /// The place among the sequence's tokens, from 0.
    pub(super) position: usize,
    /// The likeliest tokens, best first.
    pub(super) predictions: Vec<Prediction>,
}

#[derive(Debug, Serialize)]
pub(super) struct Prediction {
    pub(super) id: u32,
    pub(super) token: String,
    /// Of the whole vocabulary at this place.
    pub(super) probability: f64,
}

/// The places of the masks in each input. Fails, naming it, on an input without one.
pub(super) fn positions(inputs: &[Input], tokenizer: &Tokenizer) -> Result<Vec<Vec<usize>>> {
    let Some(mask) = tokenizer.mask_id() else {
        return Err(Error::new(ErrorKind::Config, "tokenizer", "mask token")
            .expecting("one, for fill-mask")
            .but_found("none"));
    };
    inputs
        .iter()
        .map(|input| {
            let masks: Vec<usize> =
                (0..input.ids.len()).filter(|&position| input.ids[position] == mask).collect();
            if !masks.is_empty() {
                return Ok(masks);
            }
            let name = tokenizer.token(mask).unwrap_or_default();
            Err(Error::new(ErrorKind::Argument, input.source.clone(), "mask")
                .expecting(format!("`{name}` (id {mask}) at least once"))
                .but_found(format!("none among {} tokens", input.ids.len())))
        })
        .collect()
}

/// The `top` likeliest tokens at each of `positions` by the `scores` there, `[positions, vocab_size]`.
pub(super) fn predict(
    scores: &HostTensor,
    positions: &[usize],
    tokenizer: &Tokenizer,
    top: usize,
) -> Vec<Mask> {
    let width = scores.shape().dims().last().copied().unwrap_or(1).max(1);
    let scores = scores.to_f32();
    let rows = scores.chunks_exact(width);
    rows.zip(positions)
        .map(|(row, &position)| Mask { position, predictions: likeliest(row, tokenizer, top) })
        .collect()
}

fn likeliest(row: &[f32], tokenizer: &Tokenizer, top: usize) -> Vec<Prediction> {
    let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weight = |score: f32| f64::from(score - largest).exp();
    let sum: f64 = row.iter().copied().map(weight).sum();
    let mut order: Vec<u32> = (0..row.len() as u32).collect();
    order.sort_by(|&a, &b| row[b as usize].total_cmp(&row[a as usize]));
    // Some tables of embeddings are longer than the vocabulary; the other rows belong to no token.
    let known = order.into_iter().filter_map(|id| Some((id, tokenizer.token(id)?)));
    known
        .take(top)
        .map(|(id, token)| Prediction { id, token, probability: weight(row[id as usize]) / sum })
        .collect()
}

/// The text with the likeliest token in the place of each mask.
pub(super) fn filled(input: &Input, masks: &[Mask], tokenizer: &Tokenizer) -> Result<String> {
    let mut ids = input.ids.clone();
    for Mask { position, predictions } in masks {
        if let Some(best) = predictions.first() {
            ids[*position] = best.id;
        }
    }
    tokenizer.decode(&ids)
}
