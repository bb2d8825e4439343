//! Drivers that end long loops without a message: how many turns they allow, by their version or by trying.
//!
//! The LLVM back end of Mesa's llvmpipe, which lavapipe runs shaders on, gives all loops of an invocation 65,535 turns together
//! (`LP_MAX_TGSI_LOOP_ITERATIONS` in `src/gallium/auxiliary/gallivm/lp_bld_limits.h`) and then leaves them. Mesa 22.3.6 does so, and the
//! constant stands in the sources of 25.0; later ones are without it, and 26.2 counts to 200,000. Versions in between, and other software
//! rasterizers, are tried.

use super::{Context, Program};
use crate::graph::{Graph, Op, StepDesc};
use crate::kernel::{Caps, Kernel, Lowered, Operand, Source, params};
use crate::plan::Plan;
use crate::tensor::{Array, DType, Real, TensorDesc};
use crate::{AdapterKind, Result};

/// Turns that limited versions of llvmpipe allow.
const LLVMPIPE: u64 = 65_535;

/// What is known of a driver by its name and version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// It ends loops after so many turns, or does not.
    Limit(Option<u64>),
    /// Nobody has looked; until somebody tries, this is taken for true.
    Untried(Option<u64>),
}

impl Known {
    pub(super) fn of(info: &wgpu::AdapterInfo) -> Self {
        // OpenGL has the name alone.
        if info.driver == "llvmpipe" || info.name.starts_with("llvmpipe") {
            return match mesa_version(&info.driver_info) {
                Some(version) if version <= [25, 0] => Self::Limit(Some(LLVMPIPE)),
                Some(version) if version >= [26, 2] => Self::Limit(None),
                _ => Self::Untried(Some(LLVMPIPE)),
            };
        }
        match info.device_type {
            wgpu::DeviceType::Cpu => Self::Untried(None),
            _ => Self::Limit(None),
        }
    }

    /// What to go by until somebody tries.
    pub(super) fn limit(self) -> Option<u64> {
        match self {
            Self::Limit(limit) | Self::Untried(limit) => limit,
        }
    }
}

/// Major and minor version in a text like `Mesa 22.3.6 (LLVM 15.0.6)`.
fn mesa_version(driver_info: &str) -> Option<[u32; 2]> {
    let (_, version) = driver_info.split_once("Mesa ")?;
    let mut numbers = version.split(['.', '-', ' ']).map(str::parse);
    Some([numbers.next()?.ok()?, numbers.next()?.ok()?])
}

params! {
    struct LoopParams {
        turns: u32,
    }
}

/// Counts the turns of a loop that no compiler can do without: what it computes goes into its condition.
#[derive(Clone, Copy, Debug)]
struct CountTurns(u32);

const COUNT: Source = Source {
    path: "(loop self-test)",
    text: "fn element(i: u32) {
    var turns = 0u;
    var state = 1u;
    while turns < params.turns && state != 0u {
        state = (state * 1664525u + 1013904223u) | 1u;
        turns++;
    }
    store_result(i, turns);
}
",
};

impl Op for CountTurns {
    fn name(&self) -> &'static str {
        "loop self-test"
    }

    fn contract(&self, _: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        Ok(vec![TensorDesc::new(DType::U32, [1])])
    }

    fn reference<R: Real>(&self, _: &[&Array<R>]) -> Vec<Array<R>> {
        vec![Array::index([1], vec![self.0.into()])]
    }

    fn lower(&self, _: &StepDesc, caps: &Caps) -> Result<Lowered> {
        let dispatch = Kernel::new("loop self-test", [COUNT])
            .write_elements("result", Operand::Output(0), DType::U32)
            .params(LoopParams { turns: self.0 })
            .turns(self.0.into())
            .per_element(1, caps);
        Ok(Lowered::streaming("count", "to see whether loops come to their end", vec![dispatch], Vec::new()))
    }
}

/// The turns that a loop takes of those it is asked for, the first time these are fewer. Submits two dispatches and waits for them.
pub(super) async fn measure(context: &Context) -> Result<Option<u64>> {
    let mut graph = Graph::new();
    // One behind 2^16, and one behind what 16 bits and a sign might be multiplied by.
    let asked: [u32; 2] = [70_000, 200_000];
    for turns in asked {
        let counted = graph.push(CountTurns(turns), &[])?[0];
        graph.output(&turns.to_string(), counted)?;
    }
    let unlimited = Caps { max_loop_turns: None, ..context.caps().clone() };
    let unlimited = context.with_caps(unlimited);
    let counted = Program::new(&unlimited, &Plan::new(&graph, unlimited.caps())?)?.run_async(&[]).await?;
    let found = asked.map(|turns| (turns, counted[&turns.to_string()].to_f64()[0] as u64));
    Ok(found.into_iter().find(|&(asked, found)| found != u64::from(asked)).map(|(_, found)| found))
}

/// The context with the limit that trying finds, where nobody knows it of its driver.
pub(super) async fn tried(context: Context) -> Context {
    match Known::of(context.info()) {
        Known::Untried(_) if context.caps().adapter == AdapterKind::Cpu => {
            // A driver that fails here has not shown that its loops end when they should.
            match measure(&context).await {
                Ok(max_loop_turns) => context.with_caps(Caps { max_loop_turns, ..context.caps().clone() }),
                Err(_) => context,
            }
        }
        _ => context,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use crate::gpu::AdapterRequest;

    #[test]
    fn versions_are_read_from_what_drivers_say() {
        assert_eq!(mesa_version("Mesa 22.3.6 (LLVM 15.0.6)"), Some([22, 3]));
        assert_eq!(mesa_version("Mesa 26.2.6-1 (LLVM 22.1.0)"), Some([26, 2]));
        assert_eq!(mesa_version("Mesa 25.0-devel"), Some([25, 0]));
        assert_eq!(mesa_version("4.5 (Core Profile) Mesa 24.2.8"), Some([24, 2]));
        for unknown in ["", "Mesa", "Mesa x.3", "530.41.03"] {
            assert_eq!(mesa_version(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn longer_loops_are_refused_by_the_planner_and_by_programs_of_plans_for_other_devices() {
        let context = Context::headless(&AdapterRequest::Any).unwrap_or_else(|error| panic!("{error}"));
        let with_limit =
            |max_loop_turns| context.with_caps(Caps { max_loop_turns, ..context.caps().clone() });
        let plan = |turns, context: &Context| {
            let mut graph = Graph::new();
            let counted = graph.push(CountTurns(turns), &[])?[0];
            graph.output("turns", counted)?;
            Plan::new(&graph, context.caps())
        };
        let (limited, unlimited) = (with_limit(Some(LLVMPIPE)), with_limit(None));
        let most = 64_511;
        let fits = plan(most, &limited).unwrap_or_else(|error| panic!("{error}"));
        let counted = Program::new(&limited, &fits).and_then(|program| program.run(&[]));
        assert_eq!(counted.unwrap_or_else(|error| panic!("{error}"))["turns"].to_f64(), [f64::from(most)]);

        let elsewhere = plan(most + 1, &unlimited).unwrap_or_else(|error| panic!("{error}"));
        for error in [plan(most + 1, &limited).unwrap_err(), Program::new(&limited, &elsewhere).unwrap_err()]
        {
            assert_eq!((error.kind(), error.op()), (ErrorKind::Limit, "loop self-test"));
            assert_eq!(error.argument(), "loop turns of an invocation");
            assert_eq!((error.expected(), error.found()), ("at most 64511", "64512"));
        }
    }

    #[test]
    fn what_is_known_of_this_driver_is_what_trying_finds() {
        let context = Context::headless(&AdapterRequest::Any).unwrap_or_else(|error| panic!("{error}"));
        let measured = pollster::block_on(measure(&context)).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(measured, context.caps().max_loop_turns, "{}", context.describe());
    }
}
