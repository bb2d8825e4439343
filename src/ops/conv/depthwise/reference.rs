//! The CPU reference: every place and tap that reads, one after the other.

use super::Channels;
use crate::ops::conv::reach::Plane;
use crate::tensor::{Array, Real};

/// Calls `visit` with places in the result, in the weights and in x, of all channels of every tap that reads.
fn each<R: Real>(
    plane: &Plane,
    channels: Channels,
    [batch, width]: [usize; 2],
    segments: Option<&Array<R>>,
    mut visit: impl FnMut(usize, usize, usize),
) {
    let Channels { multiplier, gathers } = channels;
    let [inner, out] = channels.of(width);
    for item in 0..batch {
        let places = plane.from();
        let segments = segments.map(|segments| &segments.indices()[item * places..(item + 1) * places]);
        plane.each(segments, |place, tap, read| {
            let (y, x) = ((item * plane.to() + place) * out, (item * places + read) * inner);
            for channel in 0..width {
                let [narrow, wide] = [channel / multiplier, channel];
                let [from, to] = if gathers { [wide, narrow] } else { [narrow, wide] };
                visit(y + to, tap * width + channel, x + from);
            }
        });
    }
}

pub(super) fn forward<R: Real>(
    plane: &Plane,
    channels: Channels,
    x: &Array<R>,
    weight: &Array<R>,
    bias: Option<&Array<R>>,
    segments: Option<&Array<R>>,
) -> Array<R> {
    let (batch, width) = (x.dims()[0], weight.dims()[1]);
    let [_, out] = channels.of(width);
    let mut y = vec![R::zero(); batch * plane.to() * out];
    let (weight, x) = (weight.reals(), x.reals());
    each(plane, channels, [batch, width], segments, |at, w, read| y[at] += weight[w] * x[read]);
    if let Some(bias) = bias {
        for row in y.chunks_exact_mut(out) {
            row.iter_mut().zip(bias.reals()).for_each(|(y, &bias)| *y += bias);
        }
    }
    Array::real([batch, plane.down.to, plane.across.to, out], y)
}

pub(super) fn weights<R: Real>(
    plane: &Plane,
    channels: Channels,
    x: &Array<R>,
    dy: &Array<R>,
    segments: Option<&Array<R>>,
) -> Array<R> {
    let wide = if channels.gathers { x } else { dy };
    let (batch, width) = (x.dims()[0], wide.dims()[3]);
    let mut dw = vec![R::zero(); plane.taps() * width];
    let (dy, x) = (dy.reals(), x.reals());
    each(plane, channels, [batch, width], segments, |at, w, read| dw[w] += dy[at] * x[read]);
    Array::real([plane.taps(), width], dw)
}
