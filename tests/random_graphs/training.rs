//! Parameters that become something else, in place and otherwise.

use foveate::ops;
use foveate::ops::optimizer::{AdamW, Control, Moments, Sgd, accumulate, adamw, sgd};
use foveate::{HostTensor, Result, Value};

use super::instructions::{Picks, Recorded};
use super::recorder::{Known, Recorder};

pub(crate) fn update(recorder: &mut Recorder, [parameter, value, ..]: Picks) -> Recorded {
    let Some(parameter) = recorder.pick(parameter, |known| known.is_parameter) else { return Ok(None) };
    let suits = |value: &Known| value.is_computed && value.is_float() && value.dims == parameter.dims;
    let Some(value) = recorder.pick(value, suits) else { return Ok(None) };
    become_of(recorder, &parameter, value.value, &value.name)
}

/// Updates a parameter, unless it is updated already.
fn become_of(recorder: &mut Recorder, parameter: &Known, value: Value, name: &str) -> Recorded {
    recorder.graph.update(parameter.value, value)?;
    recorder.note(format!("update {} to {name}", parameter.name));
    Ok(Some(()))
}

/// Keeps what an op made of a parameter in place, as a value and, mostly, as the parameter's update.
fn keep_update(
    recorder: &mut Recorder,
    parameter: &Known,
    value: Value,
    what: &str,
    pick: usize,
) -> Recorded {
    recorder.keep(value, what, parameter.largest + 200.0)?;
    if pick.is_multiple_of(4) {
        return Ok(Some(()));
    }
    // Refused the second time.
    let _ = become_of(recorder, parameter, value, what);
    Ok(Some(()))
}

/// A parameter, or what was made of one, and a value of its shape.
fn target(recorder: &Recorder, [target, change]: [usize; 2]) -> Option<[Known; 2]> {
    let target =
        recorder.pick(target, |known| known.is_float() && (known.is_parameter || known.is_computed))?;
    let change = recorder.pick(change, |known| known.is_float() && known.dims == target.dims)?;
    Some([target, change])
}

pub(crate) fn accumulated(recorder: &mut Recorder, [total, gradient, updates, _]: Picks) -> Recorded {
    let Some([total, gradient]) = target(recorder, [total, gradient]) else { return Ok(None) };
    let value = accumulate(&mut recorder.graph, total.value, gradient.value)?;
    keep_update(recorder, &total, value, &format!("accumulate({}, {})", total.name, gradient.name), updates)
}

fn control(recorder: &mut Recorder) -> Result<Control> {
    let schedule = recorder.tensor(HostTensor::f32([3], vec![0.1, 0.1, 0.001])?, 1.0);
    let factor = recorder.tensor(HostTensor::f32([1], vec![0.5])?, 1.0);
    Ok(Control { schedule: schedule.value, factor: factor.value })
}

pub(crate) fn descent(recorder: &mut Recorder, [parameter, gradient, velocity, updates]: Picks) -> Recorded {
    let Some([parameter, gradient]) = target(recorder, [parameter, gradient]) else { return Ok(None) };
    let suits = |known: &Known| known.is_float() && known.dims == parameter.dims;
    let Some(velocity) = recorder.pick(velocity, suits) else { return Ok(None) };
    let control = control(recorder)?;
    let settings = Sgd { momentum: 0.5, ..Sgd::default() };
    let (stepped, moved) =
        sgd(&mut recorder.graph, parameter.value, gradient.value, velocity.value, control, &settings)?;
    let what = format!("sgd({}, {}, velocity {})", parameter.name, gradient.name, velocity.name);
    keep_update(recorder, &parameter, stepped, &what, updates)?;
    keep_update(recorder, &velocity, moved, &what, updates / 4)
}

pub(crate) fn adam(recorder: &mut Recorder, [parameter, gradient, updates, _]: Picks) -> Recorded {
    let Some([parameter, gradient]) = target(recorder, [parameter, gradient]) else { return Ok(None) };
    let [first, second] = [recorder.parameter(&parameter.dims), recorder.parameter(&parameter.dims)];
    let control = control(recorder)?;
    // The second moment is a mean of squares.
    let squares = ops::multiply(&mut recorder.graph, second.value, second.value)?;
    let moments = Moments { first: first.value, second: squares };
    let settings = AdamW { eps: 0.1, ..AdamW::default() };
    let (stepped, moved) =
        adamw(&mut recorder.graph, parameter.value, gradient.value, moments, control, &settings)?;
    let what = format!(
        "adamw({}, {}, first {}, second {} squared)",
        parameter.name, gradient.name, first.name, second.name
    );
    keep_update(recorder, &parameter, stepped, &what, updates)?;
    keep_update(recorder, &first, moved.first, &what, updates / 4)?;
    keep_update(recorder, &second, moved.second, &what, updates / 16)
}
