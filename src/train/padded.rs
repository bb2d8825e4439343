//! Texts of a padded batch as the tensors that losses read.

use super::losses::default_globals;
use crate::models::{Item, Model};
use crate::tensor::HostTensor;
use crate::{Error, ErrorKind, Result};

/// Tensors by the names of a loss's inputs.
pub type Inputs = Vec<(&'static str, HostTensor)>;

/// Tokens of a row where texts have at most `time`: so many, or what the model's texts are filled up to ([`Signature::padded_to`]).
///
/// [`Signature::padded_to`]: crate::models::Signature::padded_to
pub(super) fn row_time(model: &Model, time: usize) -> usize {
    model.network().signature().padded_to.map_or(time, |padded_to| padded_to.tokens)
}

/// `ids`, `positions`, `types: i32 [batch, time]` and `lengths: i32 [batch]` of `items`, filled up with id 0; and `globals: i32 [batch, count]`,
/// the places of the global tokens that the model's head has. A model whose results depend on padding has rows of as many tokens, filled up with
/// the same id, as it is run with ([`Signature::padded_to`](crate::models::Signature::padded_to)), whatever `time` is.
///
/// Fails when an item is empty, longer than `time`, or has types that are not one for each token.
pub fn padded_inputs(model: &Model, items: &[Item<'_>], time: usize) -> Result<Inputs> {
    let (batch, first) = (items.len(), model.facts().first_position);
    let padding = model.network().signature().padded_to.map_or(0, |padded_to| padded_to.id as i32);
    let row = row_time(model, time);
    let (mut ids, mut types, mut lengths) = (Vec::new(), Vec::new(), Vec::new());
    for (number, item) in items.iter().enumerate() {
        let length = item.ids.len();
        if !(1..=time).contains(&length) || ![0, length].contains(&item.types.len()) {
            return Err(Error::new(ErrorKind::Argument, "batch", format!("text {number}"))
                .expecting(format!("1 to {time} tokens, with a type each or none"))
                .but_found(format!("{length} tokens, {} types", item.types.len())));
        }
        ids.extend(item.ids.iter().map(|&id| id as i32));
        ids.resize((number + 1) * row, padding);
        types.extend(item.types.iter().map(|&kind| kind as i32));
        types.resize((number + 1) * row, 0);
        lengths.push(length as i32);
    }
    let positions = (0..batch * row).map(|at| (first + at % row) as i32).collect();
    let mut inputs = vec![
        ("ids", HostTensor::i32([batch, row], ids)?),
        ("positions", HostTensor::i32([batch, row], positions)?),
        ("types", HostTensor::i32([batch, row], types)?),
        ("lengths", HostTensor::i32([batch], lengths)?),
    ];
    let count = default_globals(model);
    if count > 0 {
        let places = items.iter().flat_map(|item| model.default_globals(&item.ids[..1]));
        let places = places.map(|place| place as i32).collect();
        inputs.push(("globals", HostTensor::i32([batch, count], places)?));
    }
    Ok(inputs)
}

/// The input `ends: i32 [batch]` of [`classification_loss`](super::classification_loss): the token that the model's head judges each of
/// `items` by, its first, or its last before padding, numbered through the whole batch.
///
/// Fails for an empty item.
pub fn result_rows(model: &Model, items: &[Item<'_>], time: usize) -> Result<HostTensor> {
    let row = row_time(model, time);
    let place = |(number, item): (usize, &Item<'_>)| {
        let place = model.place_of_result(item.ids);
        place.map(|place| (number * row + place) as i32).ok_or_else(|| {
            Error::new(ErrorKind::Argument, "batch", format!("text {number}"))
                .expecting("at least one token")
                .but_found("none")
        })
    };
    let rows = items.iter().enumerate().map(place).collect::<Result<Vec<i32>>>()?;
    HostTensor::i32([items.len()], rows)
}

/// Windows of a text as the inputs of [`language_loss`](super::language_loss): `ids` and `targets`, the ids that follow them, both `i32
/// [batch, time]`. A window holds `time + 1` tokens; of one with fewer, and of a batch with fewer windows, the missing targets are not counted.
/// An empty window is a stream that has come to its end.
///
/// Fails when a window has one token or more than `time + 1`, and when there are more than `batch`.
pub fn window_inputs(windows: &[&[u32]], [batch, time]: [usize; 2]) -> Result<Inputs> {
    if windows.len() > batch {
        return Err(Error::new(ErrorKind::Argument, "batch", "windows")
            .expecting(format!("at most {batch}"))
            .but_found(windows.len()));
    }
    let (mut ids, mut targets) = (Vec::new(), Vec::new());
    for (number, window) in windows.iter().enumerate() {
        if window.len() == 1 || window.len() > time + 1 {
            return Err(Error::new(ErrorKind::Argument, "batch", format!("window {number}"))
                .expecting(format!("2 to {} tokens, or none", time + 1))
                .but_found(window.len()));
        }
        ids.extend(window.iter().take(window.len().saturating_sub(1)).map(|&id| id as i32));
        ids.resize((number + 1) * time, 0);
        targets.extend(window.iter().skip(1).map(|&id| id as i32));
        targets.resize((number + 1) * time, UNCOUNTED);
    }
    ids.resize(batch * time, 0);
    targets.resize(batch * time, UNCOUNTED);
    let shape = [batch, time];
    Ok(vec![("ids", HostTensor::i32(shape, ids)?), ("targets", HostTensor::i32(shape, targets)?)])
}

/// A target that does not count, as Hugging Face's libraries have it.
pub(super) const UNCOUNTED: i32 = -100;
