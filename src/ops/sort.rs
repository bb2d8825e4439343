//! A stable radix sort of items by integer keys, without atomics: what its shaders' interface describes, as dispatches.

use super::rows::chunk_length;
use crate::kernel::{Caps, Dispatch, Operand, Shader, Source, params, wgsl};

const DIGIT_BITS: u32 = 4;
const DIGITS: u64 = 1 << DIGIT_BITS;

params! {
    struct SortParams {
        count: u32,
        chunks: u32,
        shift: u32,
        most: u32,
        workgroups: u32,
    }
}

/// Dispatches that sort, and what holds the outcome: `array<vec2<u32>>`, each key with where it was before, in order of keys, equal
/// keys in their old order.
#[derive(Clone, Debug)]
pub(super) struct Sort {
    pub(super) dispatches: Vec<Dispatch>,
    pub(super) sorted: Operand,
}

/// Bytes of each of the three scratch buffers that a sort of `count` items takes.
pub(super) fn scratch(count: u32) -> [u64; 3] {
    let items = (u64::from(count) * 8).max(16);
    [items, items, (u64::from(chunks(count)) * DIGITS * 4).max(16)]
}

/// Sorts the first `count` of `keys`, u32, where keys from `most` on count as `most`. The scratch buffers of [`scratch`] lie from
/// number `first_scratch` on.
pub(super) fn sort(
    op: &'static str,
    keys: Operand,
    (count, most): (u32, u32),
    first_scratch: usize,
    caps: &Caps,
) -> Sort {
    let passes = (u32::BITS - most.leading_zeros()).div_ceil(DIGIT_BITS).max(1);
    let chunks = chunks(count);
    let workgroups = chunks.div_ceil(caps.tuning.row_lanes);
    let buffers = [first_scratch, first_scratch + 1].map(Operand::Scratch);
    let places = ("places", Operand::Scratch(first_scratch + 2));
    let shader = |source: Source, from: &[Source]| {
        let sources = [&[source, wgsl!("lib/sort/interface.wgsl")], from].concat();
        Shader::new(op, sources).constant("WORKGROUP", caps.tuning.row_lanes)
    };
    let mut dispatches = Vec::new();
    let mut from = ("keys", keys, wgsl!("lib/sort/from_keys.wgsl"));
    for pass in 0..passes {
        let to = buffers[pass as usize % 2];
        let params = SortParams { count, chunks, shift: pass * DIGIT_BITS, most, workgroups };
        let (name, items, source) = from;
        let chunk_shader = |kernel| shader(kernel, &[source]).constant("CHUNK", chunk_length(count));
        dispatches.push(Dispatch {
            shader: chunk_shader(wgsl!("lib/sort/count.wgsl")),
            bindings: vec![(name, items), places],
            params: params.into(),
            workgroups: workgroups.into(),
            turns: 0,
        });
        dispatches.push(Dispatch {
            shader: shader(wgsl!("lib/sort/scan.wgsl"), &[]),
            bindings: vec![places],
            params: params.into(),
            workgroups: workgroups.min(1).into(),
            turns: 0,
        });
        dispatches.push(Dispatch {
            shader: chunk_shader(wgsl!("lib/sort/scatter.wgsl")),
            bindings: vec![(name, items), places, ("sorted", to)],
            params: params.into(),
            workgroups: workgroups.into(),
            turns: 0,
        });
        from = ("items", to, wgsl!("lib/sort/from_items.wgsl"));
    }
    Sort { dispatches, sorted: buffers[(passes as usize - 1) % 2] }
}

fn chunks(count: u32) -> u32 {
    count.div_ceil(chunk_length(count))
}
