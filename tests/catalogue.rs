//! Tests about the table of ops: each row has everything an op needs, under the same name, and nothing lies around unused.

mod choices;
#[path = "choices/plans.rs"]
mod plans;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use foveate::check::{Case, Work, has_central_differences};
use foveate::ops::CATALOGUE;
use foveate::{Caps, Plan, Value};

use crate::plans::every_plan;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Ops that run nothing on a device, and so have no shader.
const VIEWS: &[&str] = &["constant", "reshape", "stop_gradient"];

/// Ops that run another op's or their family's kernel, and so have no shader of their own.
const FAMILY_KERNELS: &[&str] = &[
    "embedding",
    "layout/broadcast",
    "layout/concat",
    "layout/flip",
    "layout/repeat",
    "layout/roll",
    "layout/slice",
    "layout/transpose",
];

/// Ops that share another's module and kernels.
const IN_MODULES_OF_OTHERS: &[(&str, &str)] = &[
    ("argmax", "reduce"),
    ("argmin", "reduce"),
    ("entmax15", "entmax"),
    ("index/read_rows", "index/write_rows"),
    ("log_softmax", "softmax"),
    ("loss/kl_divergence", "loss/pair"),
    ("loss/mean_squared_error", "loss/pair"),
    ("max", "reduce"),
    ("mean", "reduce"),
    ("min", "reduce"),
    ("normalize/layer_norm", "normalize/norm"),
    ("normalize/rms_norm", "normalize/norm"),
    ("sparsemax", "entmax"),
    ("sum", "reduce"),
];

/// The folder or file that an op's module and its shaders lie in.
fn home(name: &'static str) -> &'static str {
    IN_MODULES_OF_OTHERS.iter().find(|(op, _)| *op == name).map_or(name, |(_, module)| module)
}

/// Ops from floats to floats that have no gradients: what an optimiser does, and what is there to end gradients.
const WITHOUT_GRADIENTS: &[&str] =
    &["optimizer/accumulate", "optimizer/adamw", "optimizer/global_norm", "optimizer/sgd", "stop_gradient"];

#[test]
fn names_are_unique() {
    let names: BTreeSet<&str> = CATALOGUE.iter().map(|entry| entry.name).collect();
    assert_eq!(names.len(), CATALOGUE.len());
}

#[test]
fn every_row_has_a_module_shaders_cases_and_benches() {
    for entry in CATALOGUE {
        let name = entry.name;
        // Rows of tables, which share their module and their kernels.
        let home = if name.starts_with("elementwise/") { "elementwise" } else { home(name) };
        let module = root().join("src/ops").join(home);
        assert!(
            module.join("mod.rs").is_file() || module.with_extension("rs").is_file(),
            "{name} has no module"
        );
        assert!(!(entry.cases)().is_empty(), "{name} has no cases");
        let has_shaders = root().join("shaders").join(home).is_dir()
            || root().join("shaders").join(format!("{home}.wgsl")).is_file();
        let wants_shaders = !VIEWS.contains(&name) && !FAMILY_KERNELS.contains(&name);
        assert_eq!(has_shaders, wants_shaders, "{name}: shaders");
        assert!(!entry.summary.is_empty(), "{name} says nothing of itself");
        assert_eq!(!(entry.benches)().is_empty(), !VIEWS.contains(&name), "{name}: benches");
        assert!((entry.cases)().iter().all(|case| case.op() == name), "{name} lists another op's case");
    }
}

#[test]
fn views_are_the_ops_that_run_nothing() {
    let caps = Caps { f16: true, ..Caps::webgpu_default() };
    for entry in CATALOGUE {
        let runs = (entry.cases)().iter().any(|case| {
            let graph = case.problem().unwrap_or_else(|error| panic!("{case:?}: {error}")).graph;
            let plan = Plan::new(&graph, &caps).unwrap_or_else(|error| panic!("{case:?}: {error}"));
            plan.report().iter().any(|step| step.op == entry.name && step.choice.is_some())
        });
        assert_eq!(runs, !VIEWS.contains(&entry.name), "{}", entry.name);
    }
}

/// Whether any case goes from floats to floats, and whether any such has central differences that its gradients are held to.
fn gradients_of(cases: &[Case]) -> foveate::Result<(bool, bool)> {
    let mut from_floats_to_floats = false;
    for case in cases {
        let graph = case.problem()?.graph;
        let has_float = |values: &[(String, Value)]| {
            values.iter().any(|(_, value)| graph.desc(*value).is_ok_and(|desc| desc.dtype.is_float()))
        };
        if has_float(graph.inputs()) && has_float(graph.outputs()) {
            from_floats_to_floats = true;
            if has_central_differences(case)? {
                return Ok((true, true));
            }
        }
    }
    Ok((from_floats_to_floats, false))
}

#[test]
fn ops_from_floats_to_floats_have_gradients_that_are_tested() {
    let mut failures = Vec::new();
    for entry in CATALOGUE {
        let (from_floats_to_floats, tested) =
            gradients_of(&(entry.cases)()).unwrap_or_else(|error| panic!("{}: {error}", entry.name));
        if tested != (from_floats_to_floats && !WITHOUT_GRADIENTS.contains(&entry.name)) {
            failures.push(format!("{}: has gradients that are tested: {tested}", entry.name));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn every_bench_has_a_label_of_its_own_and_can_be_planned() {
    let with_f16 = Caps { f16: true, ..Caps::webgpu_default() };
    for entry in CATALOGUE {
        let mut labels = BTreeSet::new();
        for bench in (entry.benches)() {
            assert_eq!(bench.op(), entry.name, "{bench} is listed by another op");
            assert!(labels.insert(bench.label().to_owned()), "{bench} is there twice");
            let (Work::Bytes(work) | Work::Flops(work)) = bench.work();
            assert!(work > 0, "{bench} does nothing");
            let graph = bench.problem().unwrap_or_else(|error| panic!("{bench}: {error}")).graph;
            for caps in [&with_f16, &Caps::webgpu_default()] {
                match Plan::new(&graph, &bench.caps_on(caps)) {
                    Ok(plan) => assert!(bench.runs_on(caps) && !plan.shaders().is_empty(), "{bench}"),
                    Err(error) => assert!(!bench.runs_on(caps), "{bench}: {error}"),
                }
            }
        }
    }
}

#[test]
fn every_case_has_a_label_of_its_own() {
    for entry in CATALOGUE {
        let mut labels = BTreeSet::new();
        for case in (entry.cases)() {
            assert!(labels.insert(case.label().to_owned()), "{case:?} is there twice");
        }
    }
}

#[test]
fn every_folder_of_an_op_is_in_the_table() {
    let with_shaders = files_under(&root().join("shaders"));
    for path in with_shaders.iter().filter(|path| !path.starts_with("lib/")) {
        let owned = CATALOGUE.iter().any(|entry| {
            let home = home(entry.name);
            path.starts_with(&format!("{home}/")) || *path == format!("{home}.wgsl")
        });
        let shared = CATALOGUE.iter().any(|entry| {
            let family = entry.name.split('/').next().unwrap_or_default();
            // What ops of a family share lies where their own folders lie, in a folder of `src/ops` too.
            let folder = Path::new(path).parent().unwrap_or(Path::new(""));
            folder.starts_with(family) && root().join("src/ops").join(folder).is_dir()
        });
        assert!(owned || shared, "shaders/{path} belongs to no op");
    }
}

#[test]
fn every_shader_file_is_part_of_some_kernel() {
    let mut used = BTreeSet::new();
    every_plan(
        |_| true,
        |plan| {
            let sources = plan.shaders().iter().flat_map(|shader| &shader.sources);
            used.extend(sources.map(|source| source.path.to_owned()));
        },
    );
    let files = files_under(&root().join("shaders"));
    let differing: Vec<&String> = files.symmetric_difference(&used).collect();
    assert!(differing.is_empty(), "shader files that are not used, or are no files: {differing:?}");
}

fn files_under(folder: &Path) -> BTreeSet<String> {
    fn collect(root: &Path, folder: &Path, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).expect("the folder can be read") {
            let path = entry.expect("the entry can be read").path();
            if path.is_dir() {
                collect(root, &path, found);
            } else {
                let relative = path.strip_prefix(root).expect("the path lies under the root");
                found.insert(relative.to_string_lossy().replace('\\', "/"));
            }
        }
    }
    let mut found = BTreeSet::new();
    collect(folder, folder, &mut found);
    found
}
