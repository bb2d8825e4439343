//! The CPU reference: one row of scores at a time, in the letters of the formula.

use super::super::{Dims, EMPTY_ROW_LSE};
use super::BlockedAttention;
use crate::tensor::{Array, Real};

/// `out` and `lse` for inputs `q`, `k`, `v` and, where the spec has them, `lengths`.
pub(super) fn forward<R: Real>(inputs: &[&Array<R>], attention: &BlockedAttention) -> (Array<R>, Array<R>) {
    let [q, k, v] = [inputs[0], inputs[1], inputs[2]];
    let dims = Dims::from_dims(q.dims(), k.dims(), v.dims());
    let scale = R::of(attention.scale(dims.head_size));
    let mut out = vec![R::zero(); dims.batch * dims.query_time * dims.heads * dims.value_size];
    let mut lse = vec![R::of(EMPTY_ROW_LSE.into()); dims.batch * dims.heads * dims.query_time];

    for b in 0..dims.batch {
        let keys = inputs
            .get(3)
            .map_or(dims.key_time, |lengths| lengths.indices()[b].clamp(0, dims.key_time as i64) as usize);
        for (h, i) in (0..dims.heads).flat_map(|h| (0..dims.query_time).map(move |i| (h, i))) {
            let kv_head = h / dims.group();
            let row = ((b * dims.query_time + i) * dims.heads + h) * dims.head_size;
            let q_i = &q.reals()[row..row + dims.head_size];
            let visible = visible_keys(attention, &dims, i, keys);
            let s: Vec<R> = visible
                .clone()
                .map(|j| {
                    let row = ((b * dims.key_time + j) * dims.kv_heads + kv_head) * dims.head_size;
                    let k_j = &k.reals()[row..row + dims.head_size];
                    let s = scale * q_i.iter().zip(k_j).map(|(&q, &k)| q * k).sum();
                    attention.spec.softcap.map_or(s, |cap| R::of(cap.into()) * (s / R::of(cap.into())).tanh())
                })
                .collect();
            let Some(m) = s.iter().copied().reduce(R::max) else { continue };
            let l: R = s.iter().map(|&s| (s - m).exp()).sum();
            let row = ((b * dims.query_time + i) * dims.heads + h) * dims.value_size;
            let out_i = &mut out[row..row + dims.value_size];
            for (j, s) in visible.zip(s) {
                let p = (s - m).exp() / l;
                let row = ((b * dims.key_time + j) * dims.kv_heads + kv_head) * dims.value_size;
                for (out, &v) in out_i.iter_mut().zip(&v.reals()[row..row + dims.value_size]) {
                    *out += p * v;
                }
            }
            lse[(b * dims.heads + h) * dims.query_time + i] = m + l.ln();
        }
    }
    (
        Array::real([dims.batch, dims.query_time, dims.heads, dims.value_size], out),
        Array::real([dims.batch, dims.heads, dims.query_time], lse),
    )
}

/// The keys query `i` sees, of the first `keys`.
fn visible_keys(attention: &BlockedAttention, dims: &Dims, i: usize, keys: usize) -> std::ops::Range<usize> {
    let mask = attention.spec.mask;
    let opposite = i as i64 + mask.shift(dims.query_time, dims.key_time);
    let first = mask.left.map_or(0, |left| (opposite - i64::from(left)).max(0));
    let end = mask.right.map_or(keys as i64, |right| (opposite + i64::from(right) + 1).clamp(0, keys as i64));
    first.min(end) as usize..end as usize
}
