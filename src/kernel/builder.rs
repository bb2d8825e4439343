//! Builds dispatches of kernels whose text is their method alone: the storage variables, the functions that load and store them, the
//! parameter struct and the entry point are generated. One file, as every method adds to one header, which the tests below it read.
//!
//! ```text
//! Kernel::new("dropout", [wgsl!("dropout.wgsl")])
//!     .lanes(4)                                      alias Lanes = vec4<f32>;
//!     .read("x", Operand::Input(0), DType::F16)      fn load_x(i: u32) -> Lanes
//!     .write("result", Operand::Output(0), dtype)    fn store_result(i: u32, value: Lanes)
//!     .params(DropoutParams { scale })               params.scale
//!     .per_element(count, caps)                      calls fn element(i: u32), i < count
//! ```
//!
//! A pack is what one load brings: `lanes` neighbouring elements, 1 or 4. Floats are computed with in f32 whatever they are stored as.
//! `foveate shader` prints what is generated.

#![cfg_attr(not(feature = "unstable"), allow(unreachable_pub, reason = "public with the feature `unstable`"))]

use std::fmt::Write;

use super::accessor::{Accessor, ignored, zeros};
use super::{
    Caps, Choice, Constant, Dispatch, Field, Generated, Lowered, Operand, Params, Shader, Source, Tier, wgsl,
};
use crate::tensor::DType;

/// A kernel while it is put together: sources that hold the method, what is bound, and at the end one of `per_element`, `per_row` and
/// `per_workgroup`, which makes the [`Dispatch`]. Bindings, loads, stores, the struct `Params` and the entry point are generated.
#[derive(Clone, Debug)]
pub struct Kernel {
    shader: Shader,
    bindings: Vec<(&'static str, Operand)>,
    accessors: String,
    params: Params,
    lanes: u32,
    turns: u64,
    /// Packs of a row, and how often its lanes go through them.
    walks: Option<(u32, u32)>,
    /// Loops over the lanes of a workgroup, one for each reduction of a row.
    reductions: u64,
}

/// Turns from which on the loops of a lane are long, and more lanes share the row: a quarter of what the drivers that count them allow.
const LONG: u64 = 1 << 14;

/// Workgroup memory that the reductions take for each lane.
const REDUCTION_BYTES: u32 = 24;

/// Reductions that a kernel has at most which states no number of them.
const MOST_REDUCTIONS: u64 = 4;

impl Kernel {
    /// A kernel called `label` in reports, made of `sources`, which define `element` or `row` (see [`Kernel::per_element`] and
    /// [`Kernel::per_row`]) and what it calls.
    pub fn new(label: &'static str, sources: impl Into<Vec<Source>>) -> Self {
        Self {
            shader: Shader::new(label, sources),
            bindings: Vec::new(),
            accessors: String::new(),
            params: Params::default(),
            lanes: 1,
            turns: 0,
            walks: None,
            reductions: MOST_REDUCTIONS,
        }
    }

    /// Another label.
    pub(crate) fn label(mut self, label: &'static str) -> Self {
        self.shader.label = label;
        self
    }

    /// Elements of a pack from here on, 1 or 4: the type `Lanes` is `f32` or `vec4<f32>`.
    pub fn lanes(mut self, lanes: u32) -> Self {
        self.lanes = lanes;
        self
    }

    /// A storage variable that is read: `load_NAME(i)` gives pack `i`, floats as `Lanes`.
    pub fn read(self, name: &'static str, operand: Operand, dtype: DType) -> Self {
        let packs = Accessor::packs(name, dtype, self.lanes).only_read();
        self.declare(name, operand, &packs, false).define(packs.load(&load(name), INDEX, "i"))
    }

    /// [`Kernel::read`], an element at a time whatever a pack is: lengths, ids, numbers of a row.
    pub fn read_elements(self, name: &'static str, operand: Operand, dtype: DType) -> Self {
        let elements = Accessor::packs(name, dtype, 1);
        self.declare(name, operand, &elements, false).define(elements.load(&load(name), INDEX, "i"))
    }

    /// A storage variable that is written: `store_NAME(i, value)` puts pack `i`.
    pub fn write(self, name: &'static str, operand: Operand, dtype: DType) -> Self {
        let packs = Accessor::packs(name, dtype, self.lanes);
        self.declare(name, operand, &packs, true).define(packs.store(&store(name), INDEX, "i"))
    }

    /// [`Kernel::write`], an element at a time whatever a pack is.
    pub fn write_elements(self, name: &'static str, operand: Operand, dtype: DType) -> Self {
        let elements = Accessor::packs(name, dtype, 1);
        self.declare(name, operand, &elements, true).define(elements.store(&store(name), INDEX, "i"))
    }

    /// A storage variable that is read and written: both functions.
    pub fn update(self, name: &'static str, operand: Operand, dtype: DType) -> Self {
        let packs = Accessor::packs(name, dtype, self.lanes);
        let functions = packs.load(&load(name), INDEX, "i") + &packs.store(&store(name), INDEX, "i");
        self.declare(name, operand, &packs, true).define(functions)
    }

    /// A storage variable that is read as it is stored: `load_NAME(i)` gives pack `i` of `dtype`, `zero_NAME()` zeros of that type. For what
    /// is moved, whose bits stay.
    pub(crate) fn read_stored(self, name: &'static str, operand: Operand, dtype: DType) -> Self {
        let packs = Accessor::packs(name, dtype, self.lanes).in_stored_type().only_read();
        let zero = zeros(&format!("zero_{name}"), "", packs.value());
        self.declare(name, operand, &packs, false).define(packs.load(&load(name), INDEX, "i") + &zero)
    }

    /// A storage variable that is written as it is stored: `store_NAME(i, value)` takes a pack of `dtype`.
    pub(crate) fn write_stored(self, name: &'static str, operand: Operand, dtype: DType) -> Self {
        let packs = Accessor::packs(name, dtype, self.lanes).in_stored_type();
        self.declare(name, operand, &packs, true).define(packs.store(&store(name), INDEX, "i"))
    }

    /// A storage variable that is read if there is one: without, `load_NAME(i)` gives 0.
    pub(crate) fn read_if(self, name: &'static str, operand: Option<Operand>, dtype: DType) -> Self {
        match operand {
            Some(operand) => self.read(name, operand, dtype),
            None => {
                let packs = Accessor::packs(name, dtype, self.lanes);
                self.define(zeros(&load(name), INDEX, packs.value()))
            }
        }
    }

    /// A storage variable that is written if somebody wants it: without, `store_NAME(i, value)` does nothing.
    pub(crate) fn write_if(self, name: &'static str, operand: Option<Operand>, dtype: DType) -> Self {
        match operand {
            Some(operand) => self.write(name, operand, dtype),
            None => {
                let packs = Accessor::packs(name, dtype, self.lanes);
                self.define(ignored(&store(name), INDEX, packs.value()))
            }
        }
    }

    /// The op's own numbers, as members of `params`.
    pub fn params(mut self, params: impl Into<Params>) -> Self {
        self.params = params.into();
        self
    }

    /// One more number, behind the op's own.
    pub fn param(mut self, name: &'static str, value: u32) -> Self {
        self.params.push(name, value);
        self
    }

    /// A type that the files leave open: a pack of `dtype`.
    pub(crate) fn alias(mut self, name: &'static str, dtype: DType) -> Self {
        self.shader = self.shader.alias(name, dtype, self.lanes);
        self
    }

    /// A constant that the files leave open.
    pub fn constant(mut self, name: &'static str, value: impl Into<Constant>) -> Self {
        self.shader = self.shader.constant(name, value);
        self
    }

    /// [`Shader::subgroups_of`].
    pub(crate) fn subgroups_of(mut self, size: u32) -> Self {
        self.shader = self.shader.subgroups_of(size);
        self
    }

    /// [`Shader::on_cooperative_matrices`].
    pub(crate) fn on_cooperative_matrices(mut self, side: u32, operand: DType) -> Self {
        self.shader = self.shader.on_cooperative_matrices(side, operand);
        self
    }

    /// Functions that no file holds.
    pub(crate) fn generated(mut self, parts: impl IntoIterator<Item = Generated>) -> Self {
        self.shader = self.shader.generated(parts);
        self
    }

    /// One more file.
    pub(crate) fn source(mut self, source: Source) -> Self {
        self.shader.sources.push(source);
        self
    }

    /// Most turns of all loops of an invocation together: what [`Dispatch::turns`] is. Loops of a few dozen turns need not be counted.
    pub fn turns(mut self, turns: u64) -> Self {
        self.turns = turns;
        self
    }

    /// States, for [`Kernel::per_row`], that a row has `packs` packs and its lanes go through them `passes` times in all, each taking every
    /// `WORKGROUP`-th. Rows so long that a lane's loops would be long get more lanes; [`Dispatch::turns`] follows.
    pub fn walks(mut self, packs: u32, passes: u32) -> Self {
        self.walks = Some((packs, passes));
        self
    }

    /// States how many reductions the lanes of a row make, where it is more than [`MOST_REDUCTIONS`].
    pub(crate) fn reductions(mut self, count: u64) -> Self {
        self.reductions = count;
        self
    }

    /// Runs `fn element(i: u32)` for every `i` below `count`, by an invocation each, without shared memory or barriers.
    pub fn per_element(self, count: u32, caps: &Caps) -> Dispatch {
        let workgroup = caps.tuning.element_lanes;
        let workgroups = count.div_ceil(workgroup);
        let mut kernel = self.source(wgsl!("lib/per_element.wgsl")).constant("WORKGROUP", workgroup);
        kernel.params.push("count", count);
        kernel.params.push("workgroups", workgroups);
        kernel.finish(workgroups.into())
    }

    /// Runs `fn row(row: u32, lane: u32)` for every row below `rows`, by a workgroup each, whose `WORKGROUP` lanes share it. The functions of
    /// `lib/reductions_*.wgsl` add up over the lanes.
    pub fn per_row(mut self, rows: u32, caps: &Caps) -> Dispatch {
        let workgroup = self.walks.map_or(caps.tuning.row_lanes, |walks| row_lanes(walks, caps));
        let one_subgroup = caps.rows_are_subgroups() && workgroup == caps.tuning.row_lanes;
        if let Some(walks) = self.walks {
            self.turns += walk_turns(walks, workgroup, self.reductions);
        }
        let reductions = match one_subgroup {
            true => wgsl!("lib/reductions_subgroup.wgsl"),
            false => wgsl!("lib/reductions_workgroup.wgsl"),
        };
        let mut kernel =
            self.source(wgsl!("lib/per_row.wgsl")).source(reductions).constant("WORKGROUP", workgroup);
        if one_subgroup {
            kernel.shader = kernel.shader.subgroups_of(workgroup);
        }
        kernel.params.push("rows", rows);
        kernel.finish(rows.into())
    }

    /// Runs `fn workgroup_main(id: u32, lane: u32)` for every `id` below `workgroups`, by a workgroup of `lanes` invocations each.
    pub fn per_workgroup(self, workgroups: u32, lanes: u32) -> Dispatch {
        self.source(wgsl!("lib/per_workgroup.wgsl")).constant("WORKGROUP", lanes).with_own_main(workgroups)
    }

    /// Runs the `main` that one of the files holds. It returns where its workgroup's number is not below `params.workgroups`.
    pub(crate) fn with_own_main(mut self, workgroups: u32) -> Dispatch {
        self.params.push("workgroups", workgroups);
        self.finish(workgroups.into())
    }

    fn finish(self, workgroups: u64) -> Dispatch {
        let Self { accessors, params, lanes, .. } = &self;
        let text = format!("{}{}{accessors}", params_struct(params), lanes_functions(*lanes));
        let part = Generated { label: "(generated accessors)".into(), text, by_user: false };
        Dispatch {
            shader: self.shader.alias("Lanes", DType::F32, self.lanes).generated([part]),
            bindings: self.bindings,
            params: self.params,
            workgroups,
            turns: self.turns,
        }
    }

    pub(super) fn declare(
        mut self,
        name: &'static str,
        operand: Operand,
        accessor: &Accessor<'_>,
        written: bool,
    ) -> Self {
        // The parameters come first.
        let binding = 1 + self.bindings.len();
        self.bindings.push((name, operand));
        self.define(accessor.declaration(binding, written))
    }

    pub(super) fn define(mut self, text: String) -> Self {
        self.accessors += &text;
        self
    }
}

/// Turns of a lane that goes through every `workgroup`-th pack of a row, and through the partial values of reductions.
fn walk_turns((packs, passes): (u32, u32), workgroup: u32, reductions: u64) -> u64 {
    u64::from(packs.div_ceil(workgroup)) * u64::from(passes) + reductions * u64::from(workgroup)
}

/// The lanes of a row: as many as the tuning table says, doubled while its loops are long and the device allows it.
fn row_lanes((packs, passes): (u32, u32), caps: &Caps) -> u32 {
    let most = caps.max_invocations.min(caps.max_workgroup_bytes / REDUCTION_BYTES);
    let mut lanes = caps.tuning.row_lanes;
    while u64::from(packs.div_ceil(lanes)) * u64::from(passes) > LONG && 2 * lanes <= most {
        lanes *= 2;
    }
    lanes
}

impl Lowered {
    /// Dispatches that memory bandwidth decides the speed of. `kernel` and `reason` are for reports: what runs, and what it was
    /// chosen by.
    pub fn streaming(
        kernel: impl Into<std::borrow::Cow<'static, str>>,
        reason: impl Into<std::borrow::Cow<'static, str>>,
        dispatches: Vec<Dispatch>,
        scratch: Vec<u64>,
    ) -> Self {
        let choice = Choice { tier: Tier::Streaming, kernel: kernel.into(), reason: reason.into() };
        Self::Kernels { choice, dispatches, scratch }
    }

    /// Dispatches of which the first has a workgroup for each row ([`Kernel::per_row`]).
    pub(crate) fn rows(kernel: String, dispatches: Vec<Dispatch>, scratch: Vec<u64>, caps: &Caps) -> Self {
        let of_rows = dispatches.first().map(|dispatch| &dispatch.shader);
        let lanes = of_rows
            .and_then(|shader| shader.constants.iter().find(|(name, _)| *name == "WORKGROUP"))
            .map_or(caps.tuning.row_lanes, |(_, value)| match value {
                Constant::U32(lanes) => *lanes,
                _ => caps.tuning.row_lanes,
            });
        let is_subgroup = of_rows.is_some_and(|shader| shader.subgroup_size.is_some());
        let how = if is_subgroup { ", each one subgroup" } else { "" };
        let reason = format!("{}: workgroups of {lanes}{how}", caps.adapter.name());
        Self::streaming(kernel, reason, dispatches, scratch)
    }

    /// One dispatch of an invocation a pack of `lanes` elements.
    pub fn elementwise(dispatch: Dispatch, lanes: u32) -> Self {
        let reason = match lanes {
            4 => "four elements at a time",
            _ => "one element at a time: rows are not whole vectors",
        };
        Self::streaming(format!("{} x{lanes}", dispatch.shader.label), reason, vec![dispatch], Vec::new())
    }
}

/// What the functions of flat variables take.
const INDEX: &str = "i: u32";

fn load(name: &str) -> String {
    format!("load_{name}")
}

fn store(name: &str) -> String {
    format!("store_{name}")
}

/// The struct and the variable of the parameters.
fn params_struct(params: &Params) -> String {
    let mut text = "struct Params {\n".to_owned();
    for Field { name, wgsl, .. } in &params.fields {
        let _ = writeln!(text, "    {name}: {wgsl},");
    }
    text + "}\n@group(0) @binding(0) var<uniform> params: Params;\n"
}

/// The largest and the sum of a pack, one of its elements, and a pack of 1 at an element and 0 elsewhere.
fn lanes_functions(lanes: u32) -> String {
    let (largest, sum, lane, one_hot) = match lanes {
        4 => (
            "max(max(x.x, x.y), max(x.z, x.w))",
            "(x.x + x.y) + (x.z + x.w)",
            "x[i]",
            "vec4<f32>(vec4(0u, 1u, 2u, 3u) == vec4(i))",
        ),
        _ => ("x", "x", "x", "f32(i == 0u)"),
    };
    format!(
        "fn lanes_max(x: Lanes) -> f32 {{\n    return {largest};\n}}\n\
         fn lanes_sum(x: Lanes) -> f32 {{\n    return {sum};\n}}\n\
         fn lane_of(x: Lanes, i: u32) -> f32 {{\n    return {lane};\n}}\n\
         fn lanes_one_hot(i: u32) -> Lanes {{\n    return {one_hot};\n}}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::reflect;

    const BODY: Source = Source {
        path: "probe.wgsl",
        text: "fn element(i: u32) {\n    store_y(i, load_x(i) + load_bias(i) * params.factor + f32(load_ids(0u)));\n}\n",
    };

    crate::kernel::params! {
        struct Factor {
            factor: f32,
        }
    }

    fn probe(lanes: u32, dtype: DType, bias: bool) -> Dispatch {
        Kernel::new("probe", [BODY])
            .lanes(lanes)
            .read("x", Operand::Input(0), dtype)
            .read_if("bias", bias.then_some(Operand::Input(1)), dtype)
            .read_elements("ids", Operand::Input(2), DType::I32)
            .write("y", Operand::Output(0), dtype)
            .params(Factor { factor: 2.0 })
            .per_element(100, &Caps::webgpu_default())
    }

    #[test]
    fn every_type_and_width_is_valid_and_bound_in_order() {
        for lanes in [1, 4] {
            for dtype in [DType::F32, DType::F16] {
                for bias in [false, true] {
                    let dispatch = probe(lanes, dtype, bias);
                    let reflected = reflect(&dispatch.shader).unwrap_or_else(|error| panic!("{error}"));
                    reflected
                        .check_params("probe", &dispatch.params)
                        .unwrap_or_else(|error| panic!("{error}"));
                    let declared: Vec<&str> =
                        reflected.storage.iter().map(|binding| binding.name.as_str()).collect();
                    let bound: Vec<&str> = dispatch.bindings.iter().map(|(name, _)| *name).collect();
                    assert_eq!(declared, bound);
                    assert_eq!(bound.contains(&"bias"), bias);
                    assert_eq!(dispatch.shader.uses_f16(), dtype == DType::F16);
                    assert_eq!(dispatch.workgroups, 2);
                }
            }
        }
    }

    #[test]
    fn long_rows_get_more_lanes_as_far_as_the_device_allows() {
        const ROW: Source = Source { path: "row.wgsl", text: "fn row(row: u32, lane: u32) {}\n" };
        let of = |packs: u32, caps: &Caps| {
            let dispatch = Kernel::new("probe", [ROW]).walks(packs, 3).per_row(2, caps);
            let text = dispatch.shader.render().unwrap().wgsl;
            let lanes = text.split("const WORKGROUP: u32 = ").nth(1).and_then(|rest| rest.split('u').next());
            (lanes.unwrap().parse::<u32>().unwrap(), dispatch.turns)
        };
        let mut caps = Caps { max_invocations: 1024, max_workgroup_bytes: 32_768, ..Caps::webgpu_default() };
        caps.tuning.row_lanes = 8;
        assert_eq!(of(1000, &caps), (8, 3 * 125 + 4 * 8));
        assert_eq!(of(600_001, &caps), (128, 3 * 4688 + 4 * 128));
        assert_eq!(of(100_000_000, &caps), (1024, 3 * 97_657 + 4 * 1024));
        caps.max_workgroup_bytes = 16_384;
        assert_eq!(of(100_000_000, &caps).0, 512);
        caps.max_invocations = 256;
        assert_eq!(of(100_000_000, &caps).0, 256);
    }

    #[test]
    fn what_is_moved_keeps_its_type() {
        let source = Source {
            path: "move.wgsl",
            text: "fn element(i: u32) {\n    if i > 0u {\n        store_y(i, load_x(i));\n    } else {\n        store_y(i, zero_x());\n    }\n}\n",
        };
        for (lanes, dtype, stored, load) in [
            (1, DType::F16, "f16", "x[i]"),
            (4, DType::F16, "vec4<f16>", "x[i]"),
            (1, DType::U32, "u32", "x[i]"),
            (4, DType::F32, "vec4<f32>", "floats_of(x[i])"),
        ] {
            let dispatch = Kernel::new("move", [source])
                .lanes(lanes)
                .read_stored("x", Operand::Input(0), dtype)
                .write_stored("y", Operand::Output(0), dtype)
                .per_element(100, &Caps::webgpu_default());
            reflect(&dispatch.shader).unwrap_or_else(|error| panic!("{error}"));
            let wgsl = dispatch.shader.render().unwrap().wgsl;
            for line in [
                format!("fn load_x(i: u32) -> {stored} {{\n    return {load};"),
                format!("fn store_y(i: u32, value: {stored}) {{\n    y[i] = value;"),
            ] {
                assert!(wgsl.contains(&line), "{line} is not in\n{wgsl}");
            }
        }
    }

    #[test]
    fn accessors_convert_between_storage_and_f32() {
        let text = |dispatch: Dispatch| dispatch.shader.render().unwrap().wgsl;
        let halves = text(probe(4, DType::F16, true));
        for line in [
            "@group(0) @binding(1) var<storage, read> x: array<StoredHalves>;",
            "    return halves_of(x[i]);",
            "fn load_ids(i: u32) -> i32 {",
            "    y[i] = vec4<f16>(value);",
        ] {
            assert!(halves.contains(line), "{line} is not in\n{halves}");
        }
        // A plan for a device that loads words of 64 bits as fast as words of 32 changes what these names mean.
        for (wide, stored) in
            [(false, "alias StoredHalves = vec2<u32>;"), (true, "alias StoredHalves = u64;")]
        {
            let mut dispatch = probe(4, DType::F16, true);
            dispatch.shader.wide_loads = wide;
            reflect(&dispatch.shader).unwrap_or_else(|error| panic!("{error}"));
            let wgsl = dispatch.shader.render().unwrap().wgsl;
            assert!(wgsl.contains(stored), "{stored} is not in\n{wgsl}");
        }
        let floats = text(probe(1, DType::F32, false));
        for line in [
            "    return x[i];",
            "fn load_bias(i: u32) -> f32 {\n    return f32();\n}",
            "    factor: f32,\n    count: u32,",
        ] {
            assert!(floats.contains(line), "{line} is not in\n{floats}");
        }
    }
}
