//! The CPU reference: pair by pair of query and key, in the letters of the formula. Key heads run in parallel.

use rayon::prelude::*;

use super::super::reference::{Seen, is_hidden};
use super::{BlockedBackward, D_LSE, Outputs};
use crate::ops::attention::Dims;
use crate::ops::attention::rules::Pair;
use crate::ops::attention::vectors::{add, dot};
use crate::tensor::{Array, Real};

/// The outputs of `op` for inputs `q`, `k`, `v`, `out`, `statistics`, `d_out`, where there is one `d_lse`, and the tensors of the rule.
pub(super) fn backward<R: Real>(inputs: &[&Array<R>], op: &BlockedBackward) -> Vec<Array<R>> {
    let dims = Dims::from_dims(inputs[0].dims(), inputs[1].dims(), inputs[2].dims());
    let seen = Seen::new(inputs, &op.rule, &dims, op.required());
    let heads: Vec<Head<R>> = (0..dims.batch * dims.kv_heads)
        .into_par_iter()
        .map(|pair| key_head(inputs, op, &dims, (pair / dims.kv_heads, pair % dims.kv_heads), &seen))
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
    let group = dims.group();
    let query_size = op.rule.query_vectors() * dims.head_size;
    let mut outputs = vec![
        Array::real(inputs[0].dims(), time_first(|head| &head.dq, dims.query_time, group * query_size)),
        Array::real(inputs[1].dims(), time_first(|head| &head.dk, dims.key_time, dims.head_size)),
        Array::real(inputs[2].dims(), time_first(|head| &head.dv, dims.key_time, dims.value_size)),
    ];
    let places = Outputs::of(&op.rule);
    if places.pairs.is_some() {
        let shape = [dims.batch, dims.heads, dims.query_time, dims.key_time];
        outputs.push(Array::real(shape, heads.iter().flat_map(|head| head.pairs.iter().copied()).collect()));
    }
    if let (Some(_), Some((keys, ..))) = (places.relative_keys, op.rule.relative_keys()) {
        let shape = inputs[op.required() + keys].shape().clone();
        let mut sums = vec![R::zero(); shape.elements()];
        for (pair, head) in heads.iter().enumerate() {
            let rows = sums.chunks_exact_mut(dims.head_size).skip(pair % dims.heads).step_by(dims.heads);
            rows.zip(head.relative_keys.chunks_exact(dims.head_size))
                .for_each(|(sum, x)| add(sum, R::one(), x));
        }
        outputs.push(Array::real(shape, sums));
    }
    let slots = |of, time, slots| {
        Array::real([dims.batch, time, dims.heads, slots], time_first(of, time, group * slots))
    };
    if places.query_slots.is_some() {
        outputs.push(slots(|head| &head.query_slots, dims.query_time, op.rule.query_slots()));
    }
    if places.key_slots.is_some() {
        outputs.push(slots(|head| &head.key_slots, dims.key_time, op.rule.key_slots()));
    }
    outputs
}

/// Gradients of one batch item and key head: `dq` and `query_slots` of `[query_time, group, ..]`, `dk` and `dv` of `[key_time, ..]`,
/// `key_slots` of `[key_time, group, ..]`, `pairs` of `[group, query_time, key_time]`, `relative_keys` of `[distances, head_size]`.
struct Head<R> {
    dq: Vec<R>,
    dk: Vec<R>,
    dv: Vec<R>,
    pairs: Vec<R>,
    relative_keys: Vec<R>,
    query_slots: Vec<R>,
    key_slots: Vec<R>,
}

fn key_head<R: Real>(
    inputs: &[&Array<R>],
    op: &BlockedBackward,
    dims: &Dims,
    (b, kv_head): (usize, usize),
    seen: &Seen<'_, R>,
) -> Head<R> {
    let [q, k, v, out, statistics, d_out] = [0, 1, 2, 3, 4, 5].map(|i| inputs[i].reals());
    let rule = &op.rule;
    let scale = R::of(rule.scale);
    let (d, e, group) = (dims.head_size, dims.value_size, dims.group());
    let query_size = rule.query_vectors() * d;
    let (query_slots, key_slots) = (rule.query_slots(), rule.key_slots());
    let zeros = |count: usize| vec![R::zero(); count];
    let relative = rule.relative_keys().map(|(keys, ..)| inputs[op.required() + keys].reals());
    let mut of_head = Head {
        dq: zeros(dims.query_time * group * query_size),
        dk: zeros(dims.key_time * d),
        dv: zeros(dims.key_time * e),
        pairs: zeros(if rule.sums_pairs() { group * dims.query_time * dims.key_time } else { 0 }),
        relative_keys: zeros(relative.map_or(0, |keys| keys.len() / dims.heads)),
        query_slots: zeros(dims.query_time * group * query_slots),
        key_slots: zeros(dims.key_time * group * key_slots),
    };
    for i in 0..dims.query_time {
        for member in 0..group {
            let h = kv_head * group + member;
            let row = (b * dims.query_time + i) * dims.heads + h;
            let statistic = (b * dims.heads + h) * dims.query_time + i;
            let (m, l) = (statistics[2 * statistic], statistics[2 * statistic + 1]);
            let (q_i, position_q_i) = q[row * query_size..][..query_size].split_at(d);
            let g_i = &d_out[row * e..][..e];
            let d_lse = if op.d_lse { inputs[D_LSE].reals()[statistic] } else { R::zero() };
            let d_i = dot(g_i, &out[row * e..][..e]) - d_lse;
            let own = i * group + member;
            let (dq_i, position_dq_i) = of_head.dq[own * query_size..][..query_size].split_at_mut(d);
            for j in seen.keys(b, i) {
                let pair = Pair { batch: b, head: h, query: i, key: j };
                if !seen.shows(pair) {
                    continue;
                }
                let kv_row = (b * dims.key_time + j) * dims.kv_heads + kv_head;
                let (k_j, v_j) = (&k[kv_row * d..][..d], &v[kv_row * e..][..e]);
                let product = dot(q_i, k_j) + seen.data.relative(rule, pair, position_q_i);
                let scored = seen.data.score(rule, pair, product);
                if is_hidden(scored.score) {
                    continue;
                }
                let p = seen.data.ramp(rule, pair) * (scored.score - m).exp() / l;
                let d_score = p * (dot(g_i, v_j) - d_i);
                let ds = scale * scored.slope * d_score;
                add(dq_i, ds, k_j);
                add(&mut of_head.dk[j * d..][..d], ds, q_i);
                add(&mut of_head.dv[j * e..][..e], p, g_i);
                if rule.sums_pairs() {
                    let at = (member * dims.query_time + i) * dims.key_time + j;
                    of_head.pairs[at] = scored.added_slope * d_score;
                }
                if let (Some(keys), Some(row)) = (relative, seen.data.relative_row(rule, pair)) {
                    add(position_dq_i, ds, &keys[row * d..][..d]);
                    add(&mut of_head.relative_keys[row / dims.heads * d..][..d], ds, position_q_i);
                }
                let sums = &mut of_head.query_slots[own * query_slots..][..query_slots];
                seen.data.add_query_slots(rule, pair, d_score, &scored, sums);
                let sums = &mut of_head.key_slots[(j * group + member) * key_slots..][..key_slots];
                seen.data.add_key_slots(rule, pair, d_score, &scored, sums);
            }
        }
    }
    of_head
}
