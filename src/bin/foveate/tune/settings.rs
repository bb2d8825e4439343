//! The settings of the tuning table, and which shapes of each are worth a try on a kind of adapter.
//!
//! Lists are short, since on a software rasterizer every shape is compiled for longer than it runs: shapes beside those of the table, which
//! won on adapters of that kind, and the extremes.

use std::collections::HashSet;

use foveate::kernel::{AttentionTile, CooperativeAttention, CooperativeTile, MatmulKernel, Tuning};
use foveate::{AdapterKind, Caps, DType, Result};

use super::benchmarks::{self, Benchmark};

/// One setting.
#[derive(Debug)]
pub(super) struct Setting {
    /// The field of [`Tuning`].
    pub(super) name: &'static str,
    /// The share of the time that it gets, by how long its kernels take to compile, among those of its rank that are left.
    pub(super) weight: u32,
    /// Settings of the first rank share all of the time, those of the next what is left of it.
    pub(super) rank: u32,
    /// Shapes to try: the tuning in force with another value of the field.
    tunings: fn(&Caps) -> Vec<Tuning>,
    /// The field in words.
    pub(super) label: fn(&Tuning) -> String,
    /// What the field decides the time of; nothing where the device makes no use of it.
    pub(super) problems: fn(&Caps) -> Result<Vec<Benchmark>>,
}

/// Every setting, those that decide most of a model's time first. Later ones start from what earlier ones chose.
pub(super) const SETTINGS: &[Setting] = &[
    Setting {
        name: "matmul",
        weight: 5,
        rank: 0,
        tunings: |caps| with(caps, matmul_kernels(caps), |tuning, kernel| tuning.matmul = kernel),
        label: |tuning| tuning.matmul.to_string(),
        problems: |caps| benchmarks::matmul(caps, |dtype| caps.fragment(dtype).is_none()),
    },
    Setting {
        name: "attention",
        weight: 6,
        rank: 0,
        tunings: |caps| with(caps, attention_tiles(caps), |tuning, tile| tuning.attention = tile),
        label: |tuning| tuning.attention.to_string(),
        problems: |caps| {
            let mut problems = benchmarks::attention(caps, |dtype| caps.fragment(dtype).is_none())?;
            problems.extend(benchmarks::attention_backward(caps, |dtype| dtype == DType::F32)?);
            Ok(problems)
        },
    },
    Setting {
        name: "cooperative",
        weight: 3,
        rank: 0,
        tunings: |caps| with(caps, cooperative_tiles(caps), |tuning, tile| tuning.cooperative = tile),
        label: |tuning| named(tuning.cooperative),
        problems: |caps| benchmarks::matmul(caps, |dtype| caps.fragment(dtype).is_some()),
    },
    Setting {
        name: "cooperative_attention",
        weight: 4,
        rank: 0,
        tunings: |caps| {
            with(caps, cooperative_attention_tiles(), |tuning, tile| tuning.cooperative_attention = tile)
        },
        label: |tuning| named(tuning.cooperative_attention),
        problems: |caps| {
            let has_fragments = |dtype| caps.fragment(dtype).is_some();
            let mut problems = benchmarks::attention(caps, has_fragments)?;
            problems.extend(benchmarks::attention_backward(caps, has_fragments)?);
            Ok(problems)
        },
    },
    Setting {
        name: "attention.backward_key_vectors",
        weight: 2,
        rank: 1,
        tunings: |caps| {
            with(caps, vec![1, 2, 4], |tuning, vectors| tuning.attention.backward_key_vectors = vectors)
        },
        label: |tuning| tuning.attention.backward_key_vectors.to_string(),
        problems: |caps| benchmarks::attention_backward(caps, |dtype| dtype == DType::F32),
    },
    Setting {
        name: "row_lanes",
        weight: 1,
        rank: 1,
        tunings: |caps| with(caps, lanes(caps), |tuning, lanes| tuning.row_lanes = lanes),
        label: |tuning| tuning.row_lanes.to_string(),
        problems: benchmarks::rows,
    },
    Setting {
        name: "element_lanes",
        weight: 1,
        rank: 1,
        tunings: |caps| with(caps, lanes(caps), |tuning, lanes| tuning.element_lanes = lanes),
        label: |tuning| tuning.element_lanes.to_string(),
        problems: benchmarks::elements,
    },
];

impl Setting {
    /// The tunings to measure against the one in force, each once.
    pub(super) fn candidates(&self, caps: &Caps) -> Vec<Tuning> {
        let mut seen = HashSet::from([caps.tuning]);
        (self.tunings)(caps).into_iter().filter(|tuning| seen.insert(*tuning)).collect()
    }
}

/// The tuning in force with each of `values`.
fn with<T>(caps: &Caps, values: Vec<T>, set: impl Fn(&mut Tuning, T)) -> Vec<Tuning> {
    let changed = |value| {
        let mut tuning = caps.tuning;
        set(&mut tuning, value);
        tuning
    };
    values.into_iter().map(changed).collect()
}

fn named<T: std::fmt::Display>(tile: Option<T>) -> String {
    tile.map_or("none, registers instead".into(), |tile| tile.to_string())
}

fn matmul_kernels(caps: &Caps) -> Vec<MatmulKernel> {
    let direct = |shared_reads, shapes: &[(u32, u32)]| {
        let kernel = |&(row_blocks, col_vecs)| MatmulKernel::Direct { row_blocks, col_vecs, shared_reads };
        shapes.iter().map(kernel).collect::<Vec<_>>()
    };
    if caps.adapter != AdapterKind::Cpu {
        let staged = |(row_blocks, col_vecs)| MatmulKernel::Staged { row_blocks, col_vecs };
        let mut kernels = [(1, 1), (2, 1), (1, 2), (2, 2)].map(staged).to_vec();
        kernels.extend(direct(false, &[(2, 2), (4, 1), (2, 1), (4, 2)]));
        kernels.push(MatmulKernel::Classic);
        return kernels;
    }
    let mut kernels = Vec::new();
    // Reads are passed round subgroups of eight, and a device without them refuses that.
    if caps.subgroup_size == Some(8) {
        kernels.extend(direct(true, &[(12, 1), (6, 2), (4, 1), (8, 2)]));
    }
    kernels.extend(direct(false, &[(4, 2), (6, 2), (8, 1)]));
    kernels.extend([MatmulKernel::Staged { row_blocks: 1, col_vecs: 1 }, MatmulKernel::Classic]);
    kernels
}

fn attention_tiles(caps: &Caps) -> Vec<AttentionTile> {
    let own = caps.tuning.attention;
    let tile = |&[lanes, row_groups, rows, key_vectors]: &[u32; 4]| {
        let one_subgroup = caps.adapter == AdapterKind::Cpu
            && caps.subgroup_size == Some(8)
            && [lanes, row_groups] == [8, 1];
        AttentionTile { lanes, row_groups, rows, key_vectors, one_subgroup, ..own }
    };
    let shapes: &[[u32; 4]] = if caps.adapter == AdapterKind::Cpu {
        &[[8, 1, 8, 2], [8, 1, 16, 1], [8, 1, 32, 1], [8, 1, 24, 2], [8, 1, 32, 2], [8, 1, 16, 2]]
    } else {
        &[
            [16, 8, 8, 1],
            [16, 8, 4, 2],
            [8, 16, 4, 1],
            [16, 16, 4, 1],
            [8, 8, 8, 2],
            [16, 4, 8, 1],
            [16, 8, 2, 1],
            [32, 4, 4, 1],
        ]
    };
    shapes.iter().map(tile).collect()
}

fn cooperative_tiles(caps: &Caps) -> Vec<Option<CooperativeTile>> {
    let own = caps.tuning.cooperative.map(|tile| tile.subgroup_size);
    let subgroup_size = caps.subgroup_size.or(own).unwrap_or(32);
    let tile = |(blocks, fragments, inner)| Some(CooperativeTile { blocks, fragments, inner, subgroup_size });
    let mut tiles = [
        ([2, 2], [2, 2], 32),
        ([2, 4], [4, 4], 32),
        ([4, 2], [4, 4], 32),
        ([2, 2], [4, 4], 16),
        ([2, 2], [4, 4], 64),
        ([4, 2], [2, 4], 32),
        ([2, 2], [2, 4], 64),
        ([4, 4], [2, 2], 32),
        ([1, 1], [2, 2], 16),
    ]
    .map(tile)
    .to_vec();
    tiles.insert(0, None);
    tiles
}

fn cooperative_attention_tiles() -> Vec<Option<CooperativeAttention>> {
    let tile = |[subgroups, row_fragments, key_fragments, backward_key_fragments]: [u32; 4]| {
        Some(CooperativeAttention { subgroups, row_fragments, key_fragments, backward_key_fragments })
    };
    let shapes =
        [[4, 1, 4, 2], [8, 1, 4, 2], [8, 2, 2, 2], [2, 2, 4, 4], [4, 2, 2, 1], [4, 1, 8, 4], [2, 1, 4, 4]];
    let mut tiles = shapes.map(tile).to_vec();
    tiles.insert(0, None);
    tiles
}

fn lanes(caps: &Caps) -> Vec<u32> {
    if caps.adapter == AdapterKind::Cpu { vec![8, 16, 32, 64, 128] } else { vec![32, 64, 128, 256] }
}

/// The types that the device stores, of which `wanted` is asked.
pub(super) fn dtypes(caps: &Caps, wanted: impl Fn(DType) -> bool) -> Vec<DType> {
    let stored = if caps.f16 { &[DType::F32, DType::F16][..] } else { &[DType::F32] };
    stored.iter().copied().filter(|&dtype| wanted(dtype)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_differ_from_what_is_in_force_and_from_each_other_in_their_setting() {
        for (adapter, subgroup_size) in
            [(AdapterKind::Cpu, Some(8)), (AdapterKind::Cpu, None), (AdapterKind::Discrete, Some(32))]
        {
            let tuning = Tuning::for_adapter(adapter, subgroup_size);
            let caps = Caps { adapter, subgroup_size, tuning, ..Caps::webgpu_default() };
            for setting in SETTINGS {
                let label = setting.label;
                let mut labels = HashSet::from([label(&tuning)]);
                for candidate in setting.candidates(&caps) {
                    assert!(
                        labels.insert(label(&candidate)),
                        "{} twice: {}",
                        setting.name,
                        label(&candidate)
                    );
                }
                assert!(labels.len() > 1, "{} has no candidates", setting.name);
            }
        }
    }
}
