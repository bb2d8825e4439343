//! Random graphs of random ops: the same bits whether values share memory or not, and what the CPU reference says.
//!
//! `FOVEATE_RANDOM_GRAPHS` is how many graphs are made (400 when it is not set), `FOVEATE_RANDOM_GRAPHS_SEED` which ones (0). A failure
//! prints the seed and the smallest graph that still fails, as the calls that record it.

mod instructions;
mod recorder;
mod training;

use std::cell::RefCell;
use std::collections::BTreeMap;

use foveate::check::compare_plans;
use foveate::gpu::{AdapterRequest, Context};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};

use instructions::{INSTRUCTIONS, Instruction};
use recorder::Recorder;

const GRAPHS: u64 = 400;

/// So many graphs hold every instruction.
const TELLING: u64 = 100;

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |text| {
        text.parse().unwrap_or_else(|_| panic!("{variable}: expected a number, found {text}"))
    })
}

/// Instructions that a device with or without f16 runs, each as often as it is to be drawn.
fn drawn(f16: bool) -> Vec<usize> {
    let kinds = INSTRUCTIONS.iter().enumerate().filter(|(_, (name, ..))| f16 || *name != "half");
    kinds.flat_map(|(kind, &(_, weight, _))| std::iter::repeat_n(kind, weight)).collect()
}

fn instruction(kinds: Vec<usize>) -> impl Strategy<Value = Instruction> {
    (prop::sample::select(kinds), prop::array::uniform4(0usize..64))
        .prop_map(|(kind, picks)| Instruction { kind, picks })
}

#[test]
fn random_graphs_give_the_same_under_every_plan_and_on_the_cpu() {
    let graphs = number("FOVEATE_RANDOM_GRAPHS", GRAPHS);
    let seed = number("FOVEATE_RANDOM_GRAPHS_SEED", 0);
    let context = Context::headless(&AdapterRequest::Any).unwrap_or_else(|error| panic!("{error}"));
    let kinds = drawn(context.caps().f16);
    let recorded = RefCell::new(BTreeMap::<&str, usize>::new());

    let config = Config {
        cases: graphs as u32,
        failure_persistence: None,
        max_shrink_iters: 2000,
        ..Config::default()
    };
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let random = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(config, random);
    let result = runner.run(&prop::collection::vec(instruction(kinds.clone()), 1..28), |instructions| {
        let recorder = Recorder::record(&instructions);
        for (name, count) in recorder.recorded() {
            *recorded.borrow_mut().entry(name).or_default() += count;
        }
        let compared = compare_plans(&context, recorder.graph(), &recorder.parameters(), &recorder.inputs());
        compared.map_err(|error| match (error.op(), error.argument()) {
            // A parameter cannot become what another one holds, under whatever shape.
            ("plan", "update") => TestCaseError::reject(error.to_string()),
            _ => TestCaseError::fail(error.to_string()),
        })
    });
    match result {
        Ok(()) => {}
        Err(TestError::Fail(reason, instructions)) => {
            panic!("FOVEATE_RANDOM_GRAPHS_SEED={seed}: {reason}\n{}", Recorder::record(&instructions))
        }
        Err(error) => panic!("{error}"),
    }
    let recorded = recorded.into_inner();
    println!("{graphs} graphs of seed {seed}: {recorded:?}");
    if graphs >= TELLING {
        for kind in kinds {
            let name = INSTRUCTIONS[kind].0;
            assert!(recorded.get(name).is_some_and(|&count| count > 0), "no graph has `{name}`");
        }
    }
}
