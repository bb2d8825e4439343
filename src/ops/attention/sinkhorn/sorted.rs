//! Blocks of keys that a permutation has sorted, read where they lie.

use super::{NAME, blocks_of};
use crate::graph::{Graph, Value};
use crate::ops::attention::Dims;
use crate::ops::attention::indexed::{Border, Chunked, Order, Results, attend_in_chunks};
use crate::ops::{broadcast, concat, constant, gather_rows, less, reshape, select};
use crate::tensor::{DType, HostTensor};
use crate::{Error, ErrorKind, Result};

/// Refuses a `permutation: i32 [.., blocks]` for [`sinkhorn_sorted`] of which some row does not hold each block once. Graphs do not look at what they
/// are run with: a block that is there twice is seen from both places.
pub fn check_block_permutation(permutation: &HostTensor) -> Result<()> {
    let refused = |kind, expected: String| Error::new(kind, NAME, "permutation").expecting(expected);
    let count = match *permutation.shape().dims() {
        [.., count] if permutation.dtype() == DType::I32 => count,
        _ => return Err(refused(ErrorKind::Shape, "i32 [.., blocks]".into()).but_found(permutation.desc())),
    };
    let numbers = permutation.to_f64();
    for (row, blocks) in numbers.chunks(count.max(1)).enumerate() {
        let mut is_there = vec![false; count];
        for &block in blocks {
            let found = match is_there.get_mut(block as usize).filter(|_| block >= 0.0) {
                Some(seen) if !*seen => {
                    *seen = true;
                    continue;
                }
                Some(_) => format!("block {block} twice in row {row}"),
                None => format!("block {block} in row {row}"),
            };
            let expected = format!("each of {count} blocks once");
            return Err(refused(ErrorKind::Argument, expected).but_found(found));
        }
    }
    Ok(())
}

/// Sinkhorn attention with a hard permutation: block `i` of queries sees block `permutation[i]` of keys, and its own.
///
/// `query` and `key: [batch, time, heads, head_size]` and `value: [batch, time, heads, value_size]` are f32 or f16, `permutation: i32 [batch,
/// heads, time / block]`. A block that is sorted to its own place counts twice. If causal, a query sees the sorted block only where it lies
/// before its own, and of its own what comes before. `scale` is the factor of `q . k`, `1 / sqrt(head_size)` without one. Numbers of blocks that
/// do not exist stand for none ([`check_block_permutation`] refuses them); keys and values are not copied. No gradient goes through the permutation. Fails when shapes or types do not fit
/// and when the block is 0 or does not divide the time.
pub fn sinkhorn_sorted(
    graph: &mut Graph,
    [query, key, value]: [Value; 3],
    permutation: Value,
    block: usize,
    is_causal: bool,
    scale: Option<f32>,
) -> Result<Value> {
    let Dims { batch, heads, query_time: time, head_size, .. } =
        blocks_of(graph, [query, key, value], block)?;
    let count = time / block;
    let desc = graph.desc(permutation)?;
    if desc.dtype != DType::I32 || desc.shape.dims() != [batch, heads, count] {
        return Err(Error::new(ErrorKind::Shape, NAME, "permutation")
            .expecting(format!("i32 [{batch}, {heads}, {count}]"))
            .but_found(desc));
    }
    let positions: Vec<i32> = (0..time).map(|position| position as i32).collect();
    let table = constant(graph, HostTensor::i32([count, block], positions)?)?;
    let sorted = gather_rows(graph, table, permutation)?;
    let numbers = constant(graph, HostTensor::i32([count, 1], (0..count as i32).collect())?)?;
    let places = reshape(graph, permutation, [batch, heads, count, 1])?;
    let end =
        if is_causal { numbers } else { constant(graph, HostTensor::i32([1, 1], vec![count as i32])?)? };
    // Where there is no such block, zeros have been gathered.
    let below = less(graph, places, end)?;
    let none = constant(graph, HostTensor::i32([1], vec![-1])?)?;
    let sorted = select(graph, below, sorted, none)?;
    let below_0 = constant(graph, HostTensor::i32([1], vec![0])?)?;
    let is_negative = less(graph, places, below_0)?;
    let sorted = select(graph, is_negative, none, sorted)?;
    let own = broadcast(graph, table, [batch, heads, count, block])?;
    let keys = concat(graph, &[sorted, own], 3)?;
    let keys = reshape(graph, keys, [batch, heads, 1, 2 * time])?;
    let queries = reshape(graph, own, [batch, heads, 1, time])?;
    let order = Order { queries, keys: Some(keys), buckets: None, chunks: None };
    let spec = Chunked {
        rounds: 1,
        chunks: count,
        query_chunk: block,
        key_chunk: 2 * block,
        before: 0,
        after: 0,
        border: Border::Stop,
        is_causal,
        shown_from: usize::MAX,
        self_score: None,
        same_bucket: false,
        is_deduplicated: false,
        results: Results::Slots,
        scale: scale.unwrap_or_else(|| 1.0 / (head_size as f32).sqrt()),
    };
    Ok(attend_in_chunks(graph, [query, key, value], &order, &spec)?.out)
}
