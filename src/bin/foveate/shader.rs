//! `foveate shader`: the WGSL that runs for a case of an op on a device, with the file and line each part came from.

use std::fmt::Write;
use std::sync::Arc;

use foveate::check::Case;
use foveate::gpu::reflect;
use foveate::kernel::{Field, Params, Place, Shader};
use foveate::plan::{BoundBuffer, Command, Location};
use foveate::{Caps, Error, ErrorKind, Plan, Result};
use serde::Serialize;

use crate::args::{DeviceArgs, ShaderArgs};
use crate::device::{Adapter, DeviceReport};
use crate::tuning::{self, Source, TuningReport};
use crate::{catalogue, output};

/// The value of `--device` that needs no adapter.
const LEAST: &str = "webgpu-default";

#[derive(Debug, Serialize)]
struct List {
    version: &'static str,
    op: &'static str,
    cases: Vec<CaseName>,
}

/// A case by its number, from 1 in the order of `foveate check`.
#[derive(Debug, Serialize)]
struct CaseName {
    number: usize,
    label: String,
}

#[derive(Debug, Serialize)]
struct Report {
    version: &'static str,
    device: DeviceReport,
    op: &'static str,
    case: CaseName,
    dispatches: Vec<DispatchReport>,
}

/// One dispatch by its number in the case's plan, from 1.
#[derive(Debug, Serialize)]
struct DispatchReport {
    number: usize,
    /// The op of the step that it belongs to: cases of gradients have steps before the one they are for.
    op: &'static str,
    kernel: &'static str,
    workgroup_size: [u32; 3],
    workgroups: [u32; 3],
    /// Most turns of all loops of an invocation, as far as they grow with the problem.
    loop_turns: u64,
    bindings: Vec<Binding>,
    params: Vec<Member>,
    wgsl: String,
    /// Where lines came from: each part goes on to the next.
    parts: Vec<Part>,
}

#[derive(Debug, Serialize)]
struct Binding {
    name: &'static str,
    bound_to: String,
    bytes: u64,
}

/// A number of the uniform parameters.
#[derive(Debug, Serialize)]
struct Member {
    name: &'static str,
    /// As WGSL would print it; of vectors and arrays, the words in hexadecimal.
    value: String,
}

/// Lines of the WGSL that follow each other in a file.
#[derive(Debug, Serialize)]
struct Part {
    /// The first of them in the WGSL, from 1.
    wgsl_line: usize,
    file: String,
    /// The first of them in the file, from 1.
    line: usize,
}

pub(crate) fn run(args: &ShaderArgs) -> Result<()> {
    let entry = catalogue::entry("shader", "OP", &args.op)?;
    let json = args.output.open("shader")?;
    output::check(&json, &args.device.files_read())?;
    let cases = catalogue::cases(entry)?;
    let Some(number) = args.case else {
        let list = List::of(entry.name, &cases);
        return output::report(json.as_ref(), &list, || list.text());
    };
    let case = number.checked_sub(1).and_then(|index| cases.get(index)).ok_or_else(|| {
        Error::new(ErrorKind::Argument, "shader", "--case")
            .expecting(format!("1 to {}", cases.len()))
            .but_found(number)
            .with_hint(format!("`foveate shader {}` lists them", entry.name))
    })?;
    let (caps, device) = open(&args.device)?;
    let plan = Plan::new(&case.problem()?.graph, &caps)?;
    let mut dispatches = dispatches(&plan)?;
    if let Some(wanted) = args.dispatch {
        let count = dispatches.len();
        dispatches.retain(|dispatch| dispatch.number == wanted);
        if dispatches.is_empty() {
            let expected = if count == 0 { "none: nothing runs".into() } else { format!("1 to {count}") };
            return Err(Error::new(ErrorKind::Argument, "shader", "--dispatch")
                .expecting(expected)
                .but_found(wanted));
        }
    }
    let case = CaseName { number, label: case.label().to_owned() };
    let report = Report { version: env!("CARGO_PKG_VERSION"), device, op: entry.name, case, dispatches };
    output::report(json.as_ref(), &report, || report.text())
}

impl List {
    fn of(op: &'static str, cases: &[Arc<Case>]) -> Self {
        let name = |(index, case): (usize, &Arc<Case>)| CaseName {
            number: index + 1,
            label: case.label().to_owned(),
        };
        Self { version: env!("CARGO_PKG_VERSION"), op, cases: cases.iter().enumerate().map(name).collect() }
    }

    fn text(&self) -> String {
        self.cases.iter().map(|CaseName { number, label }| format!("{number:5}  {label}\n")).collect()
    }
}

/// What kernels are chosen by, and its name: an adapter's, or the least that every WebGPU device grants.
fn open(args: &DeviceArgs) -> Result<(Caps, DeviceReport)> {
    match args.device.as_str() {
        "cpu" => Err(Error::new(ErrorKind::Argument, "shader", "--device")
            .expecting(format!("an adapter (auto, gpu or part of its name) or {LEAST}"))
            .but_found("cpu, the reference, which runs no shaders")),
        LEAST => {
            tuning::ignore_without_adapter(&args.profile)?;
            let caps = Caps::webgpu_default();
            let device = DeviceReport {
                name: "WebGPU's default limits".into(),
                kind: caps.adapter.name().into(),
                backend: "none".into(),
                driver: String::new(),
                tuning: Some(TuningReport { source: Source::Table, kernels: caps.tuning }),
                runtime_checks: None,
            };
            Ok((caps, device))
        }
        _ => {
            let adapter = Adapter::open(args)?;
            Ok((adapter.context.caps().clone(), adapter.report()))
        }
    }
}

fn dispatches(plan: &Plan) -> Result<Vec<DispatchReport>> {
    let mut reports = Vec::new();
    for command in plan.commands() {
        if let Command::Dispatch { step, shader, buffers, params, workgroups, turns, .. } = command {
            let shader = &plan.shaders()[*shader];
            let rendered = shader.render()?;
            reports.push(DispatchReport {
                number: reports.len() + 1,
                op: plan.report()[*step].op,
                kernel: shader.label,
                workgroup_size: reflect(shader)?.workgroup_size,
                workgroups: *workgroups,
                loop_turns: *turns,
                bindings: buffers.iter().map(|buffer| Binding::of(buffer, plan)).collect(),
                params: members(params),
                parts: parts(&rendered.wgsl, rendered.places(), shader),
                wgsl: rendered.wgsl,
            });
        }
    }
    Ok(reports)
}

impl Binding {
    fn of(buffer: &BoundBuffer, plan: &Plan) -> Self {
        let BoundBuffer { name, location, offset, bytes } = *buffer;
        let bound_to = match location {
            Location::State(i) => format!("state {}", plan.states()[i].name),
            Location::Parameter(i) => format!("parameter {}", plan.parameters()[i].name),
            Location::Input(i) => format!("input {}", plan.inputs()[i].name),
            Location::Output(i) => format!("output {}", plan.outputs()[i].name),
            Location::Slot(i) => format!("slot {i}"),
            Location::Constant(i) => format!("constant {i}"),
        };
        let from = if offset == 0 { String::new() } else { format!(" from byte {offset}") };
        Self { name, bound_to: bound_to + &from, bytes }
    }
}

fn members(params: &Params) -> Vec<Member> {
    let value = |field: &Field| {
        let words: Vec<u32> = params.bytes[field.offset..][..field.size]
            .chunks_exact(4)
            .map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]))
            .collect();
        match (field.wgsl, &words[..]) {
            ("f32", &[word]) => f32::from_bits(word).to_string(),
            ("i32", &[word]) => word.cast_signed().to_string(),
            ("u32", &[word]) => word.to_string(),
            _ => format!("{words:x?}"),
        }
    };
    params.fields.iter().map(|field| Member { name: field.name, value: value(field) }).collect()
}

/// Parts begin where the file changes, or the line is not the one behind, but for blank lines and those on which a template writes nothing.
fn parts(wgsl: &str, places: Vec<Place>, shader: &Shader) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    let mut last: Option<Place> = None;
    for (index, (text, place)) in wgsl.lines().zip(places).enumerate() {
        // Blank lines of a template count as part of the text before them.
        if text.trim().is_empty() && last.is_some() {
            continue;
        }
        let goes_on = last.as_ref().is_some_and(|last| {
            last.path == place.path && last.line <= place.line && is_silent(shader, last, place.line)
        });
        if !goes_on {
            parts.push(Part { wgsl_line: index + 1, file: place.path.clone(), line: place.line });
        }
        last = Some(place);
    }
    parts
}

/// Whether the lines of a file behind `last` and before `next` are blank, or nothing but tags of a template.
fn is_silent(shader: &Shader, last: &Place, next: usize) -> bool {
    let source = shader.sources.iter().find(|source| source.path == last.path);
    let between = next.saturating_sub(last.line + 1);
    source.map_or(between == 0, |source| {
        source.text.lines().skip(last.line).take(between).all(|line| {
            let line = line.trim();
            line.is_empty() || (line.starts_with("{%") && line.ends_with("%}"))
        })
    })
}

impl Report {
    /// WGSL with comments; of several dispatches, several modules.
    fn text(&self) -> String {
        let Self { device, op, case: CaseName { number, label }, dispatches, .. } = self;
        let mut text = format!("// {op}, case {number}: {label}\n// on {} ({})\n", device.name, device.kind);
        if dispatches.is_empty() {
            text += "// Nothing runs: the results are constants or share the memory of inputs.\n";
        }
        for dispatch in dispatches {
            text += &dispatch.text();
        }
        text
    }
}

impl DispatchReport {
    fn text(&self) -> String {
        let Self { number, op, kernel, workgroup_size, workgroups, loop_turns, bindings, params, .. } = self;
        let grid = |size: &[u32; 3]| size.map(|extent| extent.to_string()).join(" x ");
        let mut text = format!(
            "\n// dispatch {number}: {kernel} of {op}, {} workgroups of {}, {loop_turns} loop turns that grow with the problem\n",
            grid(workgroups),
            grid(workgroup_size),
        );
        // Writing to a String cannot fail.
        for Binding { name, bound_to, bytes } in bindings {
            let _ = writeln!(text, "//   {name}: {bound_to}, {bytes} bytes");
        }
        for Member { name, value } in params {
            let _ = writeln!(text, "//   params.{name} = {value}");
        }
        let mut parts = self.parts.iter().peekable();
        for (index, line) in self.wgsl.lines().enumerate() {
            if let Some(Part { file, line, .. }) = parts.next_if(|part| part.wgsl_line == index + 1) {
                let _ = writeln!(text, "// {file}:{line}");
            }
            text += line;
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_begin_where_the_file_or_the_run_of_lines_does() {
        let source = foveate::kernel::Source {
            path: "loop.wgsl.j2",
            text: "a;\n\n{% for i in range(2) %}\nb;\n{% if i == 0 %}\nc;\n{% endif %}\n{% endfor %}\n",
        };
        let shader = Shader::new("probe", [source]);
        let rendered = shader.render().unwrap();
        assert_eq!(rendered.wgsl, "a;\n\nb;\nc;\nb;\n");
        let parts = parts(&rendered.wgsl, rendered.places(), &shader);
        let starts: Vec<(usize, usize)> = parts.iter().map(|part| (part.wgsl_line, part.line)).collect();
        assert_eq!(starts, [(1, 1), (5, 4)]);
    }
}
