//! The CPU reference: one row of scores at a time, in the letters of the formula. Heads run in parallel.

use std::ops::Range;

use rayon::prelude::*;

use super::super::{Dims, EMPTY_ROW_LSE};
use super::{Blocked, REQUIRED};
use crate::tensor::{Array, Real};

/// `out` and `lse` for inputs `q`, `k`, `v` and, where the spec has them, `lengths` or `segments`.
pub(super) fn forward<R: Real>(inputs: &[&Array<R>], spec: &Blocked) -> Vec<Array<R>> {
    let dims = Dims::from_dims(inputs[0].dims(), inputs[1].dims(), inputs[2].dims());
    let Dims { batch, query_time, heads, value_size, .. } = dims;
    let visible = visible(inputs, spec, &dims, REQUIRED);

    let rows_of_heads: Vec<(Vec<R>, Vec<R>)> = (0..batch * heads)
        .into_par_iter()
        .map(|pair| {
            let (b, h) = (pair / heads, pair % heads);
            head(inputs, spec, &dims, (b, h), &visible[b * query_time..][..query_time])
        })
        .collect();

    let mut out = vec![R::zero(); batch * query_time * heads * value_size];
    let mut lse = Vec::with_capacity(batch * heads * query_time);
    for (pair, (out_h, lse_h)) in rows_of_heads.into_iter().enumerate() {
        let (b, h) = (pair / heads, pair % heads);
        for (i, out_i) in out_h.chunks_exact(value_size).enumerate() {
            let row = ((b * query_time + i) * heads + h) * value_size;
            out[row..row + value_size].copy_from_slice(out_i);
        }
        lse.extend(lse_h);
    }
    vec![
        Array::real([batch, query_time, heads, value_size], out),
        Array::real([batch, heads, query_time], lse),
    ]
}

/// `[query_time, value_size]` of `out` and `[query_time]` of `lse` for one batch item and query head.
fn head<R: Real>(
    inputs: &[&Array<R>],
    spec: &Blocked,
    dims: &Dims,
    (b, h): (usize, usize),
    visible: &[Range<usize>],
) -> (Vec<R>, Vec<R>) {
    let [q, k, v] = [inputs[0].reals(), inputs[1].reals(), inputs[2].reals()];
    let scale = R::of(spec.scale_of(dims.head_size));
    let kv_row = |j: usize| (b * dims.key_time + j) * dims.kv_heads + h / dims.group();
    // Keys as [channel, time]: a sum over channels cannot be vectorised in order, many such sums beside each other can.
    let mut k_h = vec![R::zero(); dims.head_size * dims.key_time];
    for j in 0..dims.key_time {
        for c in 0..dims.head_size {
            k_h[c * dims.key_time + j] = k[kv_row(j) * dims.head_size + c];
        }
    }
    let mut out = vec![R::zero(); dims.query_time * dims.value_size];
    let mut lse = vec![R::of(EMPTY_ROW_LSE.into()); dims.query_time];
    for (i, visible) in visible.iter().enumerate() {
        let row = ((b * dims.query_time + i) * dims.heads + h) * dims.head_size;
        let mut s = vec![R::zero(); visible.len()];
        for (c, &q) in q[row..row + dims.head_size].iter().enumerate() {
            let k_c = &k_h[c * dims.key_time..][visible.clone()];
            s.iter_mut().zip(k_c).for_each(|(s, &k)| *s += q * k);
        }
        for s in &mut s {
            *s = scale * *s;
            if let Some(cap) = spec.softcap {
                *s = R::of(cap.into()) * (*s / R::of(cap.into())).tanh();
            }
        }
        let Some(m) = s.iter().copied().reduce(R::max) else { continue };
        let e: Vec<R> = s.iter().map(|&s| (s - m).exp()).collect();
        let l: R = e.iter().copied().sum();
        let out_i = &mut out[i * dims.value_size..][..dims.value_size];
        for (j, e) in visible.clone().zip(e) {
            let p = e / l;
            let v_j = &v[kv_row(j) * dims.value_size..][..dims.value_size];
            out_i.iter_mut().zip(v_j).for_each(|(out, &v)| *out += p * v);
        }
        lse[i] = m + l.ln();
    }
    (out, lse)
}

/// The keys that each query of each batch item sees: `[batch, query_time]`. The inputs of the settings stand behind `required`
/// others.
pub(in crate::ops::attention) fn visible<R: Real>(
    inputs: &[&Array<R>],
    spec: &Blocked,
    dims: &Dims,
    required: usize,
) -> Vec<Range<usize>> {
    (0..dims.batch)
        .flat_map(|b| (0..dims.query_time).map(move |i| (b, i)))
        .map(|(b, i)| visible_keys(spec, dims, i, real_keys(inputs, spec, dims, required, b, i)))
        .collect()
}

/// The keys there are for query `i` of item `b`, whatever the mask: all, the first `lengths[b]`, or those of its segment.
fn real_keys<R: Real>(
    inputs: &[&Array<R>],
    spec: &Blocked,
    dims: &Dims,
    required: usize,
    b: usize,
    i: usize,
) -> Range<usize> {
    let optional = spec.optional_inputs(required);
    if let Some(at) = optional.segments {
        let ids = &inputs[at].indices()[b * dims.key_time..][..dims.key_time];
        let before = ids[..i].iter().rev().take_while(|&&id| id == ids[i]).count();
        let behind = ids[i..].iter().take_while(|&&id| id == ids[i]).count();
        return i - before..i + behind;
    }
    let length = optional.lengths.map(|at| inputs[at].indices()[b].clamp(0, dims.key_time as i64) as usize);
    0..length.unwrap_or(dims.key_time)
}

/// Those of the keys in `real` that the mask shows to query `i`.
fn visible_keys(spec: &Blocked, dims: &Dims, i: usize, real: Range<usize>) -> Range<usize> {
    let mask = spec.mask;
    let (start, end) = (real.start as i64, real.end as i64);
    let opposite = i as i64 + mask.shift(dims.query_time, dims.key_time);
    let first = mask.left.map_or(start, |left| (opposite - i64::from(left)).max(start));
    let end = mask.right.map_or(end, |right| (opposite + i64::from(right) + 1).clamp(start, end));
    first.min(end) as usize..end as usize
}
