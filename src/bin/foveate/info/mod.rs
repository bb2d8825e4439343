//! `foveate info`: adapters, their features and limits, and, where that is asked for, what ops would run on them.

mod kernels;

use std::fmt::Write;

use foveate::gpu::{AdapterRequest, Context, Cooperative, adapters};
use foveate::ops::{CATALOGUE, Entry};
use foveate::{Caps, Error, ErrorKind, Result, wgpu};
use serde::Serialize;

use crate::args::InfoArgs;
use crate::device::{self, Adapter, DeviceReport, advice};
use crate::tuning::{self, Loaded};
use crate::{catalogue, output};
use kernels::OpReport;

#[derive(Debug, Serialize)]
struct Report {
    version: &'static str,
    /// Operating system and architecture.
    system: String,
    adapters: Vec<AdapterReport>,
}

/// An adapter that opened, or why it did not: one that refuses must not hide the others.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum AdapterReport {
    Opened(Box<Opened>),
    Refused { name: String, backend: String, error: String },
}

#[derive(Debug, Serialize)]
struct Opened {
    #[serde(flatten)]
    device: DeviceReport,
    features: Features,
    limits: Limits,
    /// Those that were asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ops: Vec<OpReport>,
}

#[derive(Debug, Serialize)]
struct Features {
    f16: bool,
    wide_loads: bool,
    timestamps: bool,
    subgroups: bool,
    cooperative_matrices: Vec<String>,
    cooperative_self_test: String,
}

/// Sizes are bytes.
#[derive(Debug, Serialize)]
struct Limits {
    storage_buffers: u32,
    workgroup_bytes: u32,
    invocations_per_workgroup: u32,
    workgroups_per_axis: u32,
    binding_bytes: u64,
    buffer_bytes: u64,
    storage_alignment: u32,
    uniform_alignment: u32,
    /// Null where none is known.
    loop_turns: Option<u64>,
}

pub(crate) fn run(args: &InfoArgs) -> Result<()> {
    let json = args.output.open("info")?;
    output::check(&json, &args.profile.files_read())?;
    let profile = tuning::load(&args.profile)?;
    let ops = match &args.op {
        Some(op) => std::slice::from_ref(catalogue::entry("info", "--op", op)?),
        None if args.ops => CATALOGUE,
        None => &[],
    };
    let shown = shown(args.device.as_deref())?;
    let adapters: Vec<AdapterReport> =
        shown.iter().map(|adapter| AdapterReport::of(adapter, &profile, ops)).collect();
    let system = format!("{} {}", std::env::consts::OS, std::env::consts::ARCH);
    let report = Report { version: env!("CARGO_PKG_VERSION"), system, adapters };
    output::report(json.as_ref(), &report, || {
        if report.adapters.is_empty() {
            return without_adapters();
        }
        let texts: Vec<String> = report.adapters.iter().map(AdapterReport::text).collect();
        let more = if ops.is_empty() {
            "\n`--ops` shows which kernel each op gets, `--op NAME` of one.\n"
        } else {
            ""
        };
        texts.join("\n") + more
    })
}

/// All adapters, or those that `device` names.
fn shown(device: Option<&str>) -> Result<Vec<wgpu::Adapter>> {
    let mut all = adapters();
    match device {
        None => {}
        Some("auto" | "gpu") => all.truncate(1),
        Some("cpu") => {
            return Err(Error::new(ErrorKind::Argument, "info", "--device")
                .expecting("adapters (auto, gpu or part of a name)")
                .but_found("cpu, the reference, which has neither limits nor kernels"));
        }
        Some(name) => {
            let is_named = |adapter: &wgpu::Adapter| {
                adapter.get_info().name.to_lowercase().contains(&name.to_lowercase())
            };
            if name.is_empty() || !all.iter().any(is_named) {
                // Says which names there are.
                device::adapter(name)?;
            }
            all.retain(is_named);
        }
    }
    Ok(all)
}

fn without_adapters() -> String {
    match Context::headless(&AdapterRequest::Any) {
        Err(error) => format!("no adapter; to get one, {}\n", advice(&error)),
        Ok(context) => format!("no adapter a moment ago, and now there is {}\n", context.describe()),
    }
}

impl AdapterReport {
    fn of(adapter: &wgpu::Adapter, profile: &Loaded, ops: &[Entry]) -> Self {
        Opened::of(adapter, profile, ops).map_or_else(
            |error| {
                let wgpu::AdapterInfo { name, backend, .. } = adapter.get_info();
                Self::Refused { name, backend: backend.to_string(), error: error.to_string() }
            },
            |opened| Self::Opened(Box::new(opened)),
        )
    }

    fn text(&self) -> String {
        match self {
            Self::Opened(opened) => opened.text(),
            Self::Refused { name, backend, error } => format!("{name} ({backend})\n  error      {error}\n"),
        }
    }
}

impl Opened {
    fn of(adapter: &wgpu::Adapter, profile: &Loaded, ops: &[Entry]) -> Result<Self> {
        let subgroups = adapter.features().contains(wgpu::Features::SUBGROUP);
        let (context, source) = tuning::apply(Context::on_adapter(adapter)?.self_tested(), profile)?;
        let adapter = Adapter { context, source };
        let caps = adapter.context.caps();
        Ok(Self {
            device: adapter.report(),
            features: Features::of(&adapter.context, subgroups),
            limits: Limits::of(caps),
            ops: kernels::reports(ops, caps)?,
        })
    }

    fn text(&self) -> String {
        let Self { device, features, limits, ops } = self;
        let mut text = format!("{} ({}, {}, {})\n", device.name, device.kind, device.backend, device.driver);
        text += &format!("  features   {}\n", features.text());
        text += &format!("  limits     {}\n", limits.text());
        if let Some(tuning) = &device.tuning {
            text += &format!("  {tuning}\n");
        }
        if let Some(checks) = device.runtime_checks {
            text += &format!("  checked    {checks}, unless a context is told otherwise\n");
        }
        for op in ops {
            // Writing to a String cannot fail.
            let _ = write!(text, "{op}");
        }
        text
    }
}

impl Features {
    fn of(context: &Context, subgroups: bool) -> Self {
        let caps = context.caps();
        let cooperative_matrices = caps
            .cooperative
            .iter()
            .map(|shape| {
                format!("{}x{}x{} {} into {}", shape.m, shape.n, shape.k, shape.operand, shape.result)
            })
            .collect();
        let cooperative_self_test = match context.cooperative() {
            Cooperative::Passed => "passed".into(),
            Cooperative::Failed(error) => error.to_string(),
            // Contexts of our own are tested where there is anything to test.
            _ => "nothing to test".into(),
        };
        Self {
            f16: caps.f16,
            wide_loads: caps.wide_loads,
            timestamps: caps.timestamps,
            subgroups,
            cooperative_matrices,
            cooperative_self_test,
        }
    }

    fn text(&self) -> String {
        let word = |name: &str, there: bool| format!("{}{name}", if there { "" } else { "no " });
        let verdict = &self.cooperative_self_test;
        let matrices = match &self.cooperative_matrices[..] {
            [] => format!("no cooperative matrices (self-test: {verdict})"),
            shapes => format!("cooperative matrices {} (self-test: {verdict})", shapes.join(", ")),
        };
        [
            word("f16 storage", self.f16),
            word("64-bit loads", self.wide_loads),
            word("timestamps", self.timestamps),
            word("subgroups", self.subgroups),
            matrices,
        ]
        .join(", ")
    }
}

impl Limits {
    fn of(caps: &Caps) -> Self {
        Self {
            storage_buffers: caps.max_storage_buffers,
            workgroup_bytes: caps.max_workgroup_bytes,
            invocations_per_workgroup: caps.max_invocations,
            workgroups_per_axis: caps.max_workgroups,
            binding_bytes: caps.max_binding_bytes,
            buffer_bytes: caps.max_buffer_bytes,
            storage_alignment: caps.storage_alignment,
            uniform_alignment: caps.uniform_alignment,
            loop_turns: caps.max_loop_turns,
        }
    }

    fn text(&self) -> String {
        let mib = |bytes: u64| bytes >> 20;
        let loops = self.loop_turns.map_or("loops of any length".into(), |turns| {
            format!("{turns} turns of all loops of an invocation")
        });
        format!(
            "{} storage buffers a shader, {} KiB workgroup memory, {} invocations a workgroup, {} workgroups an axis,\n\
             \u{20}            {} MiB a binding, {} MiB a buffer, offsets in steps of {} (storage) and {} (uniform) bytes,\n\
             \u{20}            {loops}",
            self.storage_buffers,
            self.workgroup_bytes >> 10,
            self.invocations_per_workgroup,
            self.workgroups_per_axis,
            mib(self.binding_bytes),
            mib(self.buffer_bytes),
            self.storage_alignment,
            self.uniform_alignment,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_adapter_that_refuses_is_a_row_with_its_error() {
        let refused = AdapterReport::Refused {
            name: "Fickle".into(),
            backend: "vulkan".into(),
            error: "context: device: out of memory".into(),
        };
        assert_eq!(refused.text(), "Fickle (vulkan)\n  error      context: device: out of memory\n");
        let json = output::json(&refused).unwrap();
        for part in [r#""name": "Fickle""#, r#""error": "context: device: out of memory""#] {
            assert!(json.contains(part), "`{part}` is not in: {json}");
        }
    }
}
