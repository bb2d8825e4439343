//! Rotations, buckets, and the order by round, bucket and position.

use super::super::indexed::{HIDDEN_ENTRY, Order};
use super::{Lsh, LshConvention, NAME};
use crate::graph::{Graph, Value};
use crate::ops::{
    Heads, Matmul, argsort, broadcast, concat, constant, converted, gather_rows, inverse_lists, matmul,
    padding, repeat_each, reshape, rotation_buckets, select, slice, stop_gradient, transpose,
};
use crate::random::Random;
use crate::tensor::{DType, HostTensor};
use crate::{Error, ErrorKind, Result};

const BUCKETS: &str = "attention/lsh_buckets";

/// The largest number of buckets that one factor finds: from there on, rotations of two factors are so much smaller.
const MOST_OF_ONE: usize = 64;

/// Factors for [`rotation_buckets`] of at least `buckets` buckets: one up to 64, of more two that are nearly equal, all even.
pub fn lsh_bucket_factors(buckets: usize) -> Vec<usize> {
    let even = |count: usize| count.max(2).next_multiple_of(2);
    if buckets <= MOST_OF_ONE {
        return vec![even(buckets)];
    }
    let first = even(buckets.isqrt());
    vec![first, even(buckets.div_ceil(first))]
}

/// Random rotations for [`lsh_buckets`]: `[heads, head_size, rounds, width]`, normally distributed, for rotations of `factors`.
pub fn lsh_rotations(
    [heads, head_size, rounds]: [usize; 3],
    factors: &[usize],
    seed: u64,
) -> Result<HostTensor> {
    let shape = [heads, head_size, rounds, factors.iter().map(|factor| factor / 2).sum()];
    let mut random = Random::new(seed);
    HostTensor::f32(shape, (0..shape.iter().product()).map(|_| random.next_normal()).collect())
}

/// The bucket of each position of `query: [batch, time, heads, head_size]` in each round, by rotations: i32 `[batch, heads, rounds, time]`.
///
/// `rotations: f32 [heads, head_size, rounds, width]`, or with 1 in place of heads for the same of all, and `factors` are as [`rotation_buckets`]
/// takes them: `width` is half of their sum. Padding ([`Lsh::lengths`]) has a bucket of its own behind all others, except of
/// [`LshConvention::Paper`]. No gradient passes. Fails when shapes or types do not fit.
pub fn lsh_buckets(
    graph: &mut Graph,
    query: Value,
    rotations: Value,
    factors: &[usize],
    spec: &Lsh,
) -> Result<Value> {
    spec.check()?;
    let refused = |argument, expected: String, found: &crate::TensorDesc| {
        Err(Error::new(ErrorKind::Shape, BUCKETS, argument).expecting(expected).but_found(found))
    };
    let (of_query, of_rotations) = (graph.desc(query)?.clone(), graph.desc(rotations)?.clone());
    let &[batch, time, heads, head_size] = of_query.shape.dims() else {
        return refused("query", "[batch, time, heads, head_size]".into(), &of_query);
    };
    let (shared, rounds, width) = match *of_rotations.shape.dims() {
        [own, size, rounds, width] if (own == heads || own == 1) && size == head_size => {
            (own == 1, rounds, width)
        }
        _ => {
            return refused(
                "rotations",
                format!("[{heads} or 1, {head_size}, rounds, width]"),
                &of_rotations,
            );
        }
    };
    let query = stop_gradient(graph, query)?;
    let query = converted(graph, query, DType::F32)?;
    let rotations = stop_gradient(graph, rotations)?;
    let planes = if shared { repeat_each(graph, rotations, 0, heads)? } else { rotations };
    let planes = reshape(graph, planes, [1, heads, head_size, rounds * width])?;
    let planes = match batch {
        1 => planes,
        _ => broadcast(graph, planes, [batch, heads, head_size, rounds * width])?,
    };
    let rotated =
        matmul(graph, query, planes, &Matmul::new().heads(Heads::Inner, Heads::Outer, Heads::Outer))?;
    let rotated = reshape(graph, rotated, [batch, heads, time, rounds, width])?;
    let buckets = rotation_buckets(graph, rotated, factors)?;
    let buckets = transpose(graph, buckets, &[0, 1, 3, 2])?;
    match spec.lengths.filter(|_| spec.convention != LshConvention::Paper) {
        None => Ok(buckets),
        Some(lengths) => {
            padding::check_lengths(BUCKETS, graph, lengths, batch)?;
            let is_token = padding::is_token(graph, lengths, time)?;
            let is_token = reshape(graph, is_token, [batch, 1, 1, time])?;
            let behind = factors.iter().product::<usize>() as i32;
            let behind = constant(graph, HostTensor::i32([1], vec![behind])?)?;
            select(graph, is_token, buckets, behind)
        }
    }
}

/// The rounds of `buckets`, which must be i32 `[batch, heads, rounds, time]`.
fn check_buckets(graph: &Graph, buckets: Value, [batch, heads, time]: [usize; 3]) -> Result<usize> {
    let desc = graph.desc(buckets)?;
    if desc.dtype != DType::I32 {
        return Err(Error::new(ErrorKind::Dtype, NAME, "buckets")
            .expecting(DType::I32)
            .but_found(desc.dtype));
    }
    match *desc.shape.dims() {
        [b, h, rounds, t] if [b, h, t] == [batch, heads, time] && rounds > 0 => Ok(rounds),
        _ => Err(Error::new(ErrorKind::Shape, NAME, "buckets")
            .expecting(format!("[{batch}, {heads}, rounds, {time}]"))
            .but_found(&desc.shape)),
    }
}

/// An order, and the positions of its slots, where it was sorted.
pub(super) struct Ordered {
    pub(super) order: Order,
    pub(super) positions: Option<Value>,
}

/// The order by `buckets`, and their rounds; that of positions themselves, in no round, where a text of the time is not hashed.
pub(super) fn of_buckets(
    graph: &mut Graph,
    buckets: Option<Value>,
    extents: [usize; 3],
    spec: &Lsh,
) -> Result<(Ordered, Option<usize>)> {
    if !spec.hashes(extents[2]) {
        return Ok((in_place(graph, extents, spec)?, None));
    }
    let buckets = buckets.ok_or_else(|| {
        Error::new(ErrorKind::Argument, NAME, "buckets").expecting("some").but_found("none")
    })?;
    let rounds = check_buckets(graph, buckets, extents)?;
    Ok((sorted(graph, buckets, spec)?, Some(rounds)))
}

/// The stable order of each round by bucket; empty slots come last.
fn sorted(graph: &mut Graph, buckets: Value, spec: &Lsh) -> Result<Ordered> {
    let &[batch, heads, rounds, time] = graph.desc(buckets)?.shape.dims() else {
        return Err(Error::new(ErrorKind::Shape, NAME, "buckets").expecting("rank 4"));
    };
    let slots = spec.slots(time);
    let mut keys = buckets;
    if slots > time {
        let empty = [batch, heads, rounds, slots - time];
        let empty = constant(graph, HostTensor::i32(empty, vec![i32::MAX; empty.iter().product()])?)?;
        keys = concat(graph, &[buckets, empty], 3)?;
    }
    let positions = match spec.buckets {
        Some(count) => inverse_lists(graph, keys, count)?.positions,
        None => argsort(graph, keys, crate::ops::Order::Ascending)?,
    };
    let table = entries(graph, [batch, time, slots], spec)?;
    let queries = gather_rows(graph, table, positions)?;
    let queries = reshape(graph, queries, [batch, heads, rounds, slots])?;
    let chunks = match spec.is_deduplicated {
        false => None,
        true => {
            let slots_of_positions = inverse_lists(graph, positions, slots)?.positions;
            let table = (0..slots).map(|slot| (slot / spec.chunk) as i32).collect();
            let table = constant(graph, HostTensor::i32([slots, 1], table)?)?;
            let chunks = gather_rows(graph, table, slots_of_positions)?;
            let chunks = reshape(graph, chunks, [batch, heads, rounds, slots])?;
            Some(slice(graph, chunks, 3, 0..time)?)
        }
    };
    let order = Order { queries, keys: None, buckets: spec.same_bucket.then_some(buckets), chunks };
    Ok(Ordered { order, positions: Some(positions) })
}

/// The order of positions themselves, in a single chunk.
fn in_place(graph: &mut Graph, [batch, heads, time]: [usize; 3], spec: &Lsh) -> Result<Ordered> {
    let table = entries(graph, [batch, time, time], spec)?;
    let items = graph.desc(table)?.elements() / time.max(1);
    let table = reshape(graph, table, [items, 1, 1, time])?;
    let queries = broadcast(graph, table, [batch, heads, 1, time])?;
    let order = Order { queries, keys: None, buckets: None, chunks: None };
    Ok(Ordered { order, positions: None })
}

/// The entry of the index for each position: i32 `[slots, 1]`, or with lengths `[batch, slots, 1]`.
fn entries(graph: &mut Graph, [batch, time, slots]: [usize; 3], spec: &Lsh) -> Result<Value> {
    let table = |beside: i32| -> Result<HostTensor> {
        let entry = |slot: usize| if slot < time { slot as i32 + beside } else { -1 };
        HostTensor::i32([1, slots], (0..slots).map(entry).collect())
    };
    if time >= HIDDEN_ENTRY as usize {
        return Err(Error::new(ErrorKind::Limit, NAME, "query")
            .expecting(format!("a time below {HIDDEN_ENTRY}"))
            .but_found(time));
    }
    let tokens = constant(graph, table(0)?)?;
    match spec.lengths {
        None => reshape(graph, tokens, [slots, 1]),
        Some(lengths) => {
            let is_token = padding::is_token(graph, lengths, slots)?;
            let others = constant(graph, table(HIDDEN_ENTRY)?)?;
            let entries = select(graph, is_token, tokens, others)?;
            reshape(graph, entries, [batch, slots, 1])
        }
    }
}
