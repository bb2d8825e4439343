//! The tile of products of few rows, as decoding has them: memory decides their speed, so that every element of `b` is read once, for all rows,
//! and by lanes that lie side by side in memory.
//!
//! Of `b` as it is stored, lanes lie along the columns, and workgroups of GPUs along what is summed, too; of `b` transposed, all lanes lie along
//! what is summed and add up at the end.
//!
//! What was measured of it is in the guide's page on performance.

use super::Geometry;
use super::tiles::{DIRECT_LANES, Kind, Tile};
use crate::kernel::{AdapterKind, Caps, Kernel, MatmulKernel, wgsl};
use crate::tensor::DType;

/// Rows of a tile at the most.
const MOST_ROWS: usize = 8;

/// The same on software rasterizers where lanes lie along what is summed.
const MOST_ROWS_ALONG: usize = 2;

/// Lanes along the columns of `b` as it is stored: 128 bytes of a line of f32.
const LANES_ACROSS: u32 = 8;

/// The tile, where the product has few rows and the textbook kernel is not asked for.
pub(super) fn few_rows(geometry: &Geometry, dtype: DType, gated: bool, caps: &Caps) -> Option<Tile> {
    let along = geometry.b.transposed;
    let software = caps.adapter == AdapterKind::Cpu;
    let most = if along && software { MOST_ROWS_ALONG } else { MOST_ROWS };
    if !(1..=most).contains(&geometry.rows) || caps.tuning.matmul == MatmulKernel::Classic {
        return None;
    }
    let rows = geometry.rows as u32;
    let halves = if gated { 2 } else { 1 };
    let vecs = match (software, along, dtype) {
        (false, ..) => 1,
        (true, true, DType::F32) => 2,
        (true, ..) => 4,
    }
    .max(halves);
    // Sums of all lanes, where they are added up in workgroup memory.
    let bytes = |lanes: u32| lanes * rows * vecs * size_of::<[f32; 4]>() as u32;
    let mut lanes = caps.tuning.row_lanes;
    while lanes > 1 && bytes(lanes) > caps.max_workgroup_bytes {
        lanes /= 2;
    }
    let lanes_x = if along { 1 } else { lanes.min(LANES_ACROSS) };
    let lanes_y = lanes / lanes_x;
    let one_subgroup = caps.rows_are_subgroups() && lanes == caps.tuning.row_lanes;
    let shared_reads = one_subgroup && lanes_y == 1 && lanes == DIRECT_LANES;
    // A subgroup of eight lanes reads as many rows, of as many blocks of four k as make eight.
    let rows_read = rows.next_power_of_two();
    let step = if shared_reads { 4 * DIRECT_LANES / rows_read } else { 4 };
    let mut kernel =
        Kernel::new("matmul/few_rows", [wgsl!("matmul/few_rows.wgsl.j2"), wgsl!("matmul/tile.wgsl")])
            .constant("ROWS", rows)
            .constant("ROWS_READ", rows_read)
            .constant("COL_VECS", vecs)
            .constant("LANES_X", lanes_x)
            .constant("LANES_Y", lanes_y)
            .constant("STEP", step)
            .constant("ONE_SUBGROUP", one_subgroup)
            .constant("SHARED_READS", shared_reads);
    if one_subgroup {
        kernel = kernel.subgroups_of(lanes);
    }
    Some(Tile {
        kernel,
        kind: Kind::FewRows,
        rows,
        columns: 4 * lanes_x * vecs / halves,
        lanes: Some(lanes_x * lanes_y),
        turns: (1, step * lanes_y),
        name: "few rows",
        reason: if along {
            "b is read once, by lanes along what is summed"
        } else {
            "b is read once, by lanes along its columns"
        },
    })
}
