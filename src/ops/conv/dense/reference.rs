//! The CPU reference: every place and tap that reads, one after the other.

use crate::ops::conv::reach::Plane;
use crate::tensor::{Array, Real};

/// The segments of an item.
fn of_item<'a, R: Real>(segments: Option<&'a Array<R>>, plane: &Plane, item: usize) -> Option<&'a [i64]> {
    let places = plane.from();
    segments.map(|segments| &segments.indices()[item * places..(item + 1) * places])
}

pub(super) fn forward<R: Real>(
    plane: &Plane,
    x: &Array<R>,
    weight: &Array<R>,
    bias: Option<&Array<R>>,
    segments: Option<&Array<R>>,
) -> Array<R> {
    let [groups, taps, inner, out] = [0, 1, 2, 3].map(|axis| weight.dims()[axis]);
    let (batch, read_width, width) = (x.dims()[0], groups * inner, groups * out);
    let mut y = vec![R::zero(); batch * plane.to() * width];
    for item in 0..batch {
        plane.each(of_item(segments, plane, item), |place, tap, read| {
            let row = &mut y[(item * plane.to() + place) * width..][..width];
            let read = &x.reals()[(item * plane.from() + read) * read_width..][..read_width];
            for (group, (row, read)) in row.chunks_exact_mut(out).zip(read.chunks_exact(inner)).enumerate() {
                for (channel, &x) in read.iter().enumerate() {
                    let at = ((group * taps + tap) * inner + channel) * out;
                    for (y, &w) in row.iter_mut().zip(&weight.reals()[at..at + out]) {
                        *y += w * x;
                    }
                }
            }
        });
    }
    if let Some(bias) = bias {
        for row in y.chunks_exact_mut(width) {
            row.iter_mut().zip(bias.reals()).for_each(|(y, &bias)| *y += bias);
        }
    }
    Array::real([batch, plane.down.to, plane.across.to, width], y)
}

pub(super) fn weights<R: Real>(
    plane: &Plane,
    groups: usize,
    x: &Array<R>,
    dy: &Array<R>,
    segments: Option<&Array<R>>,
) -> Array<R> {
    let (batch, read_width, width) = (x.dims()[0], x.dims()[3], dy.dims()[3]);
    let (inner, out) = (read_width / groups, width / groups);
    let taps = plane.taps();
    let mut dw = vec![R::zero(); groups * taps * inner * out];
    for item in 0..batch {
        plane.each(of_item(segments, plane, item), |place, tap, read| {
            let row = &dy.reals()[(item * plane.to() + place) * width..][..width];
            let read = &x.reals()[(item * plane.from() + read) * read_width..][..read_width];
            for (group, (row, read)) in row.chunks_exact(out).zip(read.chunks_exact(inner)).enumerate() {
                for (channel, &x) in read.iter().enumerate() {
                    let at = ((group * taps + tap) * inner + channel) * out;
                    for (dw, &dy) in dw[at..at + out].iter_mut().zip(row) {
                        *dw += x * dy;
                    }
                }
            }
        });
    }
    Array::real([groups, taps, inner, out], dw)
}
