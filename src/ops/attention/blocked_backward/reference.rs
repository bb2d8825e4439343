//! The CPU reference: pair by pair of query and key, in the letters of the formula. Key heads run in parallel.

use std::ops::Range;

use rayon::prelude::*;

use super::super::Dims;
use super::super::blocked::reference::visible;
use super::{BlockedBackward, D_LSE};
use crate::tensor::{Array, Real};

/// `dq`, `dk` and `dv` for inputs `q`, `k`, `v`, `out`, `lse`, `d_out` and, where there are, `d_lse`, `lengths` or `segments`.
pub(super) fn backward<R: Real>(inputs: &[&Array<R>], op: &BlockedBackward) -> Vec<Array<R>> {
    let dims = Dims::from_dims(inputs[0].dims(), inputs[1].dims(), inputs[2].dims());
    let visible = visible(inputs, &op.spec, &dims, op.required());
    let heads: Vec<Head<R>> = (0..dims.batch * dims.kv_heads)
        .into_par_iter()
        .map(|pair| {
            let (b, kv_head) = (pair / dims.kv_heads, pair % dims.kv_heads);
            key_head(inputs, op, &dims, (b, kv_head), &visible[b * dims.query_time..][..dims.query_time])
        })
        .collect();
    let time_first = |of: fn(&Head<R>) -> &Vec<R>, time: usize, width: usize| -> Vec<R> {
        let mut all = Vec::with_capacity(heads.len() * time * width);
        for item in heads.chunks(dims.kv_heads) {
            for t in 0..time {
                item.iter().for_each(|head| all.extend(&of(head)[t * width..][..width]));
            }
        }
        all
    };
    vec![
        Array::real(
            inputs[0].dims(),
            time_first(|head| &head.dq, dims.query_time, dims.group() * dims.head_size),
        ),
        Array::real(inputs[1].dims(), time_first(|head| &head.dk, dims.key_time, dims.head_size)),
        Array::real(inputs[2].dims(), time_first(|head| &head.dv, dims.key_time, dims.value_size)),
    ]
}

/// Gradients of one batch item and key head: `dq` of `[query_time, group, head_size]`, `dk` and `dv` of `[key_time, ..]`.
struct Head<R> {
    dq: Vec<R>,
    dk: Vec<R>,
    dv: Vec<R>,
}

fn key_head<R: Real>(
    inputs: &[&Array<R>],
    op: &BlockedBackward,
    dims: &Dims,
    (b, kv_head): (usize, usize),
    visible: &[Range<usize>],
) -> Head<R> {
    let [q, k, v, out, lse, d_out] = [0, 1, 2, 3, 4, 5].map(|i| inputs[i].reals());
    let scale = R::of(op.spec.scale_of(dims.head_size));
    let (d, e) = (dims.head_size, dims.value_size);
    let mut of_head = Head {
        dq: vec![R::zero(); dims.query_time * dims.group() * d],
        dk: vec![R::zero(); dims.key_time * d],
        dv: vec![R::zero(); dims.key_time * e],
    };
    for (i, visible) in visible.iter().enumerate() {
        for member in 0..dims.group() {
            let h = kv_head * dims.group() + member;
            let row = (b * dims.query_time + i) * dims.heads + h;
            let statistic = (b * dims.heads + h) * dims.query_time + i;
            let (q_i, g_i) = (&q[row * d..][..d], &d_out[row * e..][..e]);
            let d_lse = if op.d_lse { inputs[D_LSE].reals()[statistic] } else { R::zero() };
            let d_i = dot(g_i, &out[row * e..][..e]) - d_lse;
            let dq_i = &mut of_head.dq[(i * dims.group() + member) * d..][..d];
            for j in visible.clone() {
                let kv_row = (b * dims.key_time + j) * dims.kv_heads + kv_head;
                let (k_j, v_j) = (&k[kv_row * d..][..d], &v[kv_row * e..][..e]);
                let mut s = scale * dot(q_i, k_j);
                let mut slope = R::one();
                if let Some(cap) = op.spec.softcap {
                    let t = (s / R::of(cap.into())).tanh();
                    s = R::of(cap.into()) * t;
                    slope = R::one() - t * t;
                }
                let p = (s - lse[statistic]).exp();
                let ds = p * (dot(g_i, v_j) - d_i) * slope;
                add(dq_i, scale * ds, k_j);
                add(&mut of_head.dk[j * d..][..d], scale * ds, q_i);
                add(&mut of_head.dv[j * e..][..e], p, g_i);
            }
        }
    }
    of_head
}

fn dot<R: Real>(a: &[R], b: &[R]) -> R {
    a.iter().zip(b).fold(R::zero(), |sum, (&a, &b)| sum + a * b)
}

/// `sum += factor * x`
fn add<R: Real>(sum: &mut [R], factor: R, x: &[R]) {
    sum.iter_mut().zip(x).for_each(|(sum, &x)| *sum += factor * x);
}
