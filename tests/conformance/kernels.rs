//! The devices, and choices of kernels, that cases run on.

use foveate::Caps;
use foveate::gpu::{Context, Cooperative};
use foveate::kernel::{AdapterKind, CooperativeAttention, CooperativeTile, MatmulKernel, Tuning};

use crate::devices::{Lease, Pool, context, least_device};

/// A device, and the kernels that cases run on it.
pub(crate) struct Kernels {
    /// As test names say it; nothing for the kernels that this device gets.
    pub(crate) name: String,
    /// The device of the thread that asks.
    pub(crate) device: fn() -> &'static Context,
    /// What chooses kernels, made of what the device has.
    pub(crate) caps: Caps,
}

impl Kernels {
    fn own(name: &str, tune: impl FnOnce(&mut Tuning)) -> Self {
        let mut caps = context().caps().clone();
        tune(&mut caps.tuning);
        Self { name: name.to_owned(), device: context, caps }
    }

    /// The kernels that this device gets.
    pub(crate) fn of_this_device() -> Self {
        Self::own("", |_| ())
    }

    /// The kernels of the other kinds of adapter, on this device: a GPU's on a software rasterizer and the other way round.
    pub(crate) fn of_other_adapters() -> Self {
        let (name, kind) = match context().caps().adapter {
            AdapterKind::Cpu => ("gpu tiles", AdapterKind::Discrete),
            _ => ("cpu tiles", AdapterKind::Cpu),
        };
        Self::own(name, |tuning| *tuning = Tuning::for_adapter(kind, None))
    }

    /// What an app's device has that asks for nothing: exactly WebGPU's default limits and no optional feature.
    ///
    /// Kernels are chosen by the tuning alone, so `Caps::webgpu_default` on another device would repeat a GPU's.
    pub(crate) fn of_default_limits() -> Self {
        Self {
            name: "default limits".to_owned(),
            device: least_context,
            caps: least_context().caps().clone(),
        }
    }

    /// This device's kernels, but attention's with tiles that compile in a third of the time.
    pub(crate) fn small_attention_tiles() -> Self {
        Self::own("small tiles", |tuning| {
            tuning.attention.rows = tuning.attention.rows.min(4);
            tuning.attention.key_vectors = 1;
        })
    }

    /// The same kernels without the checks at run time that a context can do without.
    pub(crate) fn without_checks(self) -> Self {
        let name = format!("without checks {}", self.name).trim_end().to_owned();
        Self { name, device: trusting_context, ..self }
    }

    /// The products that the table gives to no such device, and the textbook kernel. However few tiles there are, they stay as large.
    pub(crate) fn matmul_tiles() -> Vec<Self> {
        let direct =
            |row_blocks, col_vecs| MatmulKernel::Direct { row_blocks, col_vecs, shared_reads: false };
        let kernels = [
            ("classic", MatmulKernel::Classic),
            ("direct 1 x 1", direct(1, 1)),
            ("direct 2 x 2", direct(2, 2)),
            ("direct 4 x 2", direct(4, 2)),
            ("staged 2 x 2", MatmulKernel::Staged { row_blocks: 2, col_vecs: 2 }),
        ];
        let mut tiles: Vec<Self> = kernels
            .into_iter()
            .map(|(name, kernel)| {
                Self::own(name, |tuning| {
                    tuning.matmul = kernel;
                    tuning.attention.busy_workgroups = 1;
                })
            })
            .collect();
        tiles.push(Self::own("no subgroups", |tuning| *tuning = Tuning::for_adapter(AdapterKind::Cpu, None)));
        tiles
    }

    /// Products of cooperative matrices: one fragment, several subgroups, and several fragments of each. None where the device
    /// multiplies none.
    pub(crate) fn cooperative_matmul_tiles() -> Vec<Self> {
        [([1, 1], [1, 1], 16), ([2, 2], [2, 1], 32), ([1, 2], [2, 4], 16)]
            .into_iter()
            .filter_map(|(blocks, fragments, inner)| {
                let name = format!(
                    "cooperative {} x {} of {} x {}",
                    blocks[0], blocks[1], fragments[0], fragments[1]
                );
                Self::cooperative(name, |tuning| {
                    tuning.cooperative = Some(CooperativeTile { blocks, fragments, inner, subgroup_size: 8 });
                    tuning.attention.busy_workgroups = 1;
                })
            })
            .collect()
    }

    /// Attention on cooperative matrices: one fragment of everything, several, and more keys than rows in an odd number of fragments.
    pub(crate) fn cooperative_attention_tiles() -> Vec<Self> {
        [[1, 1, 1], [4, 2, 4], [2, 1, 3]]
            .into_iter()
            .filter_map(|[subgroups, row_fragments, key_fragments]| {
                let name = format!("cooperative {subgroups} of {row_fragments} x {key_fragments}");
                Self::cooperative(name, |tuning| {
                    tuning.cooperative_attention = Some(CooperativeAttention {
                        subgroups,
                        row_fragments,
                        key_fragments,
                        backward_key_fragments: key_fragments,
                    });
                })
            })
            .collect()
    }

    fn cooperative(name: String, tune: impl FnOnce(&mut Tuning)) -> Option<Self> {
        let context = cooperative_context();
        if *context.cooperative() != Cooperative::Passed {
            return None;
        }
        let mut caps = context.caps().clone();
        tune(&mut caps.tuning);
        Some(Self { name, device: cooperative_context, caps })
    }
}

/// Why this device multiplies no cooperative matrices, if it does not.
pub(crate) fn why_not_cooperative() -> Option<String> {
    let context = cooperative_context();
    let verdict = context.cooperative();
    (*verdict != Cooperative::Passed).then(|| format!("{}: {verdict:?}", context.describe()))
}

fn least_context() -> &'static Context {
    static POOL: Pool = Pool::new();
    thread_local! {
        static LEASE: Lease = POOL.lease(least_device);
    }
    LEASE.with(|lease| lease.context)
}

fn trusting_context() -> &'static Context {
    static POOL: Pool = Pool::new();
    thread_local! {
        static LEASE: Lease = POOL.lease(|| context().trusting_own_kernels());
    }
    LEASE.with(|lease| lease.context)
}

fn cooperative_context() -> &'static Context {
    static POOL: Pool = Pool::new();
    thread_local! {
        static LEASE: Lease = POOL.lease(|| context().self_tested());
    }
    LEASE.with(|lease| lease.context)
}
