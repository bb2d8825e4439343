//! The CPU reference: every place and tap that reads, one after the other.

use super::{Dynamic, Form};
use crate::tensor::{Array, Real};

/// The result of any form: of its inputs, the first is read where a tap reads, but for the gradient of kernels, which reads x there.
pub(super) fn reference<R: Real>(op: &Dynamic, inputs: &[&Array<R>]) -> Array<R> {
    let (first, second) = (inputs[0], inputs[1]);
    let [batch, time, channels] = [0, 1, 2].map(|axis| first.dims()[axis]);
    let taps = op.plane.taps();
    let heads = match op.form {
        Form::Kernels(heads) => heads,
        _ => second.dims()[2],
    };
    let size = channels / heads;
    let width = if matches!(op.form, Form::Kernels(_)) { heads * taps } else { channels };
    let mut result = vec![R::zero(); batch * time * width];
    for item in 0..batch {
        let row = |place: usize| item * time + place;
        let segments = inputs.get(2).map(|segments| &segments.indices()[row(0)..row(time)]);
        op.plane.each(segments, |place, tap, read| {
            for head in 0..heads {
                let kernel = |place: usize| (row(place) * heads + head) * taps + tap;
                for channel in head * size..(head + 1) * size {
                    let from = first.reals()[row(read) * channels + channel];
                    match op.form {
                        Form::Forward => {
                            result[row(place) * channels + channel] += second.reals()[kernel(place)] * from
                        }
                        Form::Input => {
                            result[row(place) * channels + channel] += second.reals()[kernel(read)] * from
                        }
                        Form::Kernels(_) => {
                            result[kernel(place)] += from * second.reals()[row(place) * channels + channel];
                        }
                    }
                }
            }
        });
    }
    match op.form {
        Form::Kernels(_) => Array::real([batch, time, heads, taps], result),
        _ => Array::real(first.shape().clone(), result),
    }
}
