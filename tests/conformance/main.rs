//! Every conformance case of every op, as a test of its own: `cargo test --test conformance softmax/` runs those of softmax, and
//! `cargo test --test conformance 'softmax/f32 [2, 63]'` one of them.
//!
//! A name is the op's, what is held to the reference (the outputs; `gradients`, of random upstream gradients; `differences`, the
//! reference's own gradients against central differences), which device or kernels run it (nothing for those that this device
//! gets), and the case's label.
//!
//! Without a filter a sample runs, which changes from day to day: `sample.rs`.

#[path = "../devices/mod.rs"]
mod devices;
mod kernels;
mod sample;

use std::cell::OnceCell;
use std::process::ExitCode;
use std::sync::Arc;

use foveate::check::{
    Case, Differences, Outcome, central_differences, conform, gradient_case, has_central_differences,
};
use foveate::ops::CATALOGUE;
use foveate::{Caps, DType, Plan};
use libtest_mimic::{Arguments, Failed, Trial};

use crate::kernels::{Kernels, why_not_cooperative};
use crate::sample::Sample;

/// What is held to the reference, or by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Outputs,
    Gradients,
    Differences,
}

/// Tests of a kind: some part of cases on some kernels.
struct Kind {
    part: Part,
    /// None for central differences, which the references have without a device.
    kernels: Option<Arc<Kernels>>,
    /// Of how many tests of this kind a sample has one, and of how many where the op is attention.
    periods: [u64; 2],
    takes: fn(op: &str, label: &str) -> bool,
}

impl Kind {
    /// The name of a case's test.
    fn name(&self, case: &Case) -> String {
        let part = match self.part {
            Part::Outputs => "",
            Part::Gradients => "gradients",
            Part::Differences => "differences",
        };
        let kernels = self.kernels.as_ref().map_or("", |kernels| &kernels.name);
        let words = [case.op(), part, kernels, case.label()];
        words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join("/")
    }

    fn period(&self, op: &str) -> u64 {
        self.periods[usize::from(is_attention(op))]
    }

    /// The test of a case, if there is anything to test.
    fn test(&self, derived: &Derived) -> foveate::Result<Option<Trial>> {
        let name = self.name(&derived.case);
        let case = match self.part {
            Part::Outputs => derived.case.clone(),
            Part::Gradients => match derived.gradients()? {
                Some(gradients) => gradients.clone(),
                None => return Ok(None),
            },
            Part::Differences if has_central_differences(&derived.case)? => derived.case.clone(),
            Part::Differences => return Ok(None),
        };
        Ok(Some(match self.kernels.clone() {
            None => Trial::test(name, move || agrees(&case)),
            Some(kernels) => Trial::test(name, move || conforms(&case, &kernels)),
        }))
    }
}

/// A case with the case of its gradients, which is made when it is asked for.
struct Derived {
    case: Arc<Case>,
    gradients: OnceCell<Option<Arc<Case>>>,
}

impl Derived {
    fn gradients(&self) -> foveate::Result<Option<&Arc<Case>>> {
        if let Some(gradients) = self.gradients.get() {
            return Ok(gradients.as_ref());
        }
        let gradients = gradient_case(&self.case)?.map(Arc::new);
        Ok(self.gradients.get_or_init(|| gradients).as_ref())
    }
}

fn is_attention(op: &str) -> bool {
    op.starts_with("attention/")
}

fn is_product(op: &str) -> bool {
    matches!(op, "matmul" | "linear")
}

/// What runs is chosen so that a day's sample takes a few minutes on two cores: most kernels compile in milliseconds, attention's and
/// those of cooperative matrices in seconds.
fn kinds() -> Vec<Kind> {
    let mut kinds = Vec::new();
    let mut add = |part, kernels: Kernels, periods, takes| {
        kinds.push(Kind { part, kernels: Some(Arc::new(kernels)), periods, takes });
    };
    let any = |_: &str, _: &str| true;
    for part in [Part::Outputs, Part::Gradients] {
        add(part, Kernels::of_this_device(), [16, 192], any);
        add(part, Kernels::of_other_adapters(), [32, 384], any);
        add(part, Kernels::of_default_limits(), [32, 384], any);
        add(part, Kernels::small_attention_tiles(), [1, 192], |op, _| is_attention(op));
        // Others have no fragments.
        for tiles in Kernels::cooperative_attention_tiles() {
            add(part, tiles, [1, 192], |op, label| {
                is_attention(op) && label.trim_start_matches("gradients: ").starts_with("f16")
            });
        }
    }
    for tiles in Kernels::matmul_tiles() {
        add(Part::Outputs, tiles, [48, 1], |op, _| is_product(op));
    }
    for tiles in Kernels::cooperative_matmul_tiles() {
        add(Part::Outputs, tiles, [8, 1], |op, label| is_product(op) && label.starts_with("f16"));
    }
    for kernels in [Kernels::of_this_device(), Kernels::of_other_adapters()] {
        add(Part::Outputs, kernels.without_checks(), [96, 960], any);
    }
    kinds.push(Kind { part: Part::Differences, kernels: None, periods: [16, 32], takes: any });
    kinds
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    match tests(&arguments) {
        Ok(tests) => libtest_mimic::run(&arguments, tests).exit_code(),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// The tests that a filter names, or a sample of all. Says what is left out.
fn tests(arguments: &Arguments) -> Result<Vec<Trial>, String> {
    let filter = arguments.filter.as_deref();
    let sample = if filter.is_some() { Sample::All } else { Sample::from_environment()? };
    let (mut tests, mut left_out) = (Vec::new(), 0);
    let kinds = kinds();
    for entry in CATALOGUE {
        let derived = |case| Derived { case: Arc::new(case), gradients: OnceCell::new() };
        let cases: Vec<Derived> = (entry.cases)().into_iter().map(derived).collect();
        for (offset, kind) in kinds.iter().enumerate() {
            let taken = cases.iter().filter(|derived| (kind.takes)(entry.name, derived.case.label()));
            for (place, derived) in taken.enumerate() {
                let case = &derived.case;
                if filter.is_some_and(|filter| !kind.name(case).contains(filter)) {
                    continue;
                }
                // Kinds in turn, so that a sample has other cases of each.
                if sample.takes((place + offset) as u64, kind.period(entry.name)) {
                    tests.extend(kind.test(derived).map_err(|error| format!("{case:?}: {error}"))?);
                } else {
                    left_out += 1;
                }
            }
        }
    }
    if !arguments.list {
        if let Some(reason) = why_not_cooperative() {
            println!("tests of cooperative matrices are left out: {reason}");
        }
        if left_out > 0 {
            println!(
                "a sample of {} tests, {left_out} left out: {} takes the same, FOVEATE_SAMPLE=all or a filter takes more",
                tests.len(),
                sample.setting()
            );
        }
    }
    Ok(tests)
}

/// Runs a case. Without f16, a case that stores it must end in a typed error.
fn conforms(case: &Case, kernels: &Kernels) -> Result<(), Failed> {
    match (conform(case, (kernels.device)(), &kernels.caps), lacks_f16(case, &kernels.caps)?) {
        (Outcome::Passed(_), false) | (Outcome::Unsupported(_), true) => Ok(()),
        (Outcome::Passed(_), true) => Err("ran without f16".into()),
        (Outcome::Unsupported(error), false) => Err(error.into()),
        (Outcome::Failed(reason), _) => Err(reason.into()),
    }
}

/// Whether shaders of `case` store f16 and `caps` have none of it.
fn lacks_f16(case: &Case, caps: &Caps) -> foveate::Result<bool> {
    if caps.f16 {
        return Ok(false);
    }
    let graph = case.problem()?.graph;
    let is_f16 = |value| graph.desc(value).is_ok_and(|desc| desc.dtype == DType::F16);
    if !graph.inputs().iter().chain(graph.outputs()).any(|&(_, value)| is_f16(value)) {
        return Ok(false);
    }
    // Views and values without elements run no shader: they work on any device.
    Ok(!Plan::new(&graph, &Caps { f16: true, ..caps.clone() })?.shaders().is_empty())
}

/// Holds the reference's gradients to central differences.
fn agrees(case: &Case) -> Result<(), Failed> {
    match central_differences(case)? {
        Differences::Agree(_) => Ok(()),
        Differences::Differ(reason) => Err(reason.into()),
        Differences::None => Err("has nothing to compare".into()),
    }
}
