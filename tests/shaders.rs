//! The shader variants that cases use, under every choice of kernels: valid WGSL within WebGPU's default limits, their
//! parameters laid out as the host writes them, and writable as SPIR-V, MSL and HLSL. No adapter is needed. A run takes a
//! sample of the cases, which changes from day to day; `FOVEATE_SAMPLE=all` takes every one.

mod choices;
#[path = "shaders/loops.rs"]
mod loops;
#[path = "choices/plans.rs"]
mod plans;
#[path = "conformance/sample.rs"]
mod sample;

use std::collections::{BTreeSet, HashMap};
use std::process::Command;
use std::sync::LazyLock;

use foveate::gpu::{Reflected, reflect};
use foveate::kernel::{Caps, Params, Shader};
use foveate::plan::Command as Scheduled;
use naga::back::{hlsl, msl, spv};
use naga::valid::ModuleInfo;

use crate::plans::every_plan;
use crate::sample::Sample;

/// Every how many cases a sample has one.
const PERIOD: u64 = 16;

/// A distinct shader, parameters it is run with, the variables a dispatch binds, and the most loop turns that one states.
type Variant = (Shader, Params, Vec<&'static str>, u64);

/// Those of the sample. Planning takes longer than most of what is tested of the shaders, so the tests share them.
fn variants() -> &'static [Variant] {
    static VARIANTS: LazyLock<Vec<Variant>> = LazyLock::new(planned);
    &VARIANTS
}

fn planned() -> Vec<Variant> {
    let sample = Sample::from_environment().unwrap_or_else(|error| panic!("{error}"));
    println!("the shaders of a sample of the cases: {} takes the same", sample.setting());
    let mut places = HashMap::new();
    let mut variants: Vec<Variant> = Vec::new();
    every_plan(
        |place| sample.takes(place, PERIOD),
        |plan| {
            for command in plan.commands() {
                if let Scheduled::Dispatch { shader, params, buffers, turns, .. } = command {
                    let shader = &plan.shaders()[*shader];
                    let place = *places.entry(shader.clone()).or_insert_with(|| {
                        let names = buffers.iter().map(|buffer| buffer.name).collect();
                        variants.push((shader.clone(), params.clone(), names, 0));
                        variants.len() - 1
                    });
                    variants[place].3 = variants[place].3.max(*turns);
                }
            }
        },
    );
    variants
}

#[test]
fn every_variant_fits_the_least_webgpu_device_and_its_host_description() {
    let least = Caps::webgpu_default();
    for (shader, params, bound, _) in variants() {
        let reflected = reflect(shader).unwrap_or_else(|error| panic!("{error}\n{}", listing(shader)));
        reflected.check_params(shader.label, params).unwrap_or_else(|error| panic!("{error}"));
        let declared: Vec<&str> = reflected.storage.iter().map(|binding| binding.name.as_str()).collect();
        assert_eq!(
            &declared, bound,
            "{}: a dispatch binds every variable in the order of its declaration",
            shader.label
        );
        assert!(bound.len() <= least.max_storage_buffers as usize, "{}: {bound:?}", shader.label);
        assert!(reflected.workgroup_bytes <= least.max_workgroup_bytes, "{}: workgroup memory", shader.label);
        assert!(
            reflected.workgroup_size.iter().product::<u32>() <= least.max_invocations,
            "{}: lanes",
            shader.label
        );
    }
}

/// A line of a plain file is that file's text; one of a template begins with the text that a line of the template begins with.
#[test]
fn every_line_of_every_variant_has_its_place() {
    for (shader, ..) in variants() {
        let rendered = shader.render().unwrap_or_else(|error| panic!("{error}"));
        for (line, place) in rendered.wgsl.lines().zip(rendered.places()) {
            let Some(source) = shader.sources.iter().find(|source| source.path == place.path) else {
                continue;
            };
            let own = source.text.lines().nth(place.line - 1);
            let own = own.unwrap_or_else(|| panic!("{}: {place} is behind the end: {line}", shader.label));
            let tag = ["{{", "{%", "{#"].into_iter().filter_map(|tag| own.find(tag)).min();
            let fits = if source.path.ends_with(".j2") && !line.trim().is_empty() {
                !own.trim().is_empty() && line.trim().starts_with(own[..tag.unwrap_or(own.len())].trim())
            } else {
                line.trim() == own.trim() || line.trim().is_empty()
            };
            assert!(fits, "{}: {place} is `{own}`, not `{line}`", shader.label);
        }
    }
}

/// What a plan needs to refuse loops that a driver would end: see `Caps::max_loop_turns`.
#[test]
fn dispatches_of_loops_that_grow_state_their_turns() {
    let open = variants().iter().filter(|(shader, _, _, turns)| {
        let Reflected { module, .. } = reflect(shader).unwrap_or_else(|error| panic!("{error}"));
        *turns == 0 && loops::has_open_loop(&module)
    });
    let silent: BTreeSet<&str> = open.map(|(shader, ..)| shader.label).collect();
    assert!(silent.is_empty(), "dispatches of these kernels state no loop turns: {silent:?}");
}

#[test]
fn every_variant_translates_to_spirv_msl_and_hlsl() {
    for (shader, ..) in variants() {
        let Reflected { module, info, .. } = reflect(shader).unwrap_or_else(|error| panic!("{error}"));
        assert!(!spirv(&module, &info).is_empty(), "{}: SPIR-V", shader.label);
        let msl = msl(&module, &info);
        assert!(msl.contains("kernel void"), "{}: MSL\n{msl}", shader.label);
        // DX12 has no subgroup barrier and no cooperative matrices: a device there never reports what these variants are chosen by.
        if shader.subgroup_size.is_none() && shader.cooperative.is_none() {
            let hlsl = hlsl(&module, &info);
            assert!(hlsl.contains("numthreads"), "{}: HLSL\n{hlsl}", shader.label);
        }
    }
}

fn spirv(module: &naga::Module, info: &ModuleInfo) -> Vec<u32> {
    spv::write_vec(module, info, &spv::Options::default(), None).expect("SPIR-V can be written")
}

fn msl(module: &naga::Module, info: &ModuleInfo) -> String {
    let options = msl::Options { lang_version: (2, 4), fake_missing_bindings: true, ..Default::default() };
    msl::write_string(module, info, &options, &msl::PipelineOptions::default()).expect("MSL can be written").0
}

fn hlsl(module: &naga::Module, info: &ModuleInfo) -> String {
    let options = hlsl::Options {
        shader_model: hlsl::ShaderModel::V6_2,
        fake_missing_bindings: true,
        ..Default::default()
    };
    let mut text = String::new();
    hlsl::Writer::new(&mut text, &options, &hlsl::PipelineOptions::default())
        .write(module, info, None)
        .expect("HLSL can be written");
    text
}

fn listing(shader: &Shader) -> String {
    let rendered = shader.render().expect("the shader renders");
    rendered.wgsl.lines().enumerate().map(|(i, line)| format!("{:4} {line}\n", i + 1)).collect()
}

/// Dawn's compiler checks what naga does not: that barriers lie in uniform control flow. It is not a Cargo dependency, so the
/// test says when it is not installed.
#[test]
fn every_variant_passes_tint_where_it_is_installed() {
    if Command::new("tint").arg("--help").output().is_err() {
        println!("tint is not installed: uniformity of control flow was not checked");
        return;
    }
    let folder = std::env::temp_dir().join(format!("foveate-tint-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("the temporary folder can be made");
    let mut failures = Vec::new();
    // It does not know naga's cooperative matrices.
    let known = variants().iter().filter(|(shader, ..)| shader.cooperative.is_none());
    for (i, (shader, ..)) in known.enumerate() {
        let wgsl = shader.render().unwrap_or_else(|error| panic!("{error}")).wgsl;
        // naga refuses the directive that the standard demands, and has a barrier that the standard lacks; one for the whole
        // workgroup must meet the same conditions.
        let enable = if shader.subgroup_size.is_some() { "enable subgroups;\n" } else { "" };
        let wgsl = wgsl.replace("subgroupBarrier()", "workgroupBarrier()");
        // Nor can it know that a workgroup is one subgroup, for all of which `subgroupAny` is the same.
        let wgsl = wgsl.replace("subgroupAny(says_so)", "workgroupUniformLoad(&said_in_subgroup)");
        let declared = "var<workgroup> said_in_subgroup: bool;\n";
        let path = folder.join(format!("{i}.wgsl"));
        std::fs::write(&path, format!("{enable}{wgsl}{declared}")).expect("the shader can be written");
        let output = Command::new("tint").args(["--format", "wgsl", "-o", "/dev/null"]).arg(&path).output();
        let output = output.expect("tint runs");
        if !output.status.success() {
            failures.push(format!("{}: {}", shader.label, String::from_utf8_lossy(&output.stderr)));
        }
    }
    std::fs::remove_dir_all(&folder).expect("the temporary folder can be removed");
    assert!(
        failures.is_empty(),
        "{} variants fail:\n{}",
        failures.len(),
        failures[..failures.len().min(3)].join("\n")
    );
}
