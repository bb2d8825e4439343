//! How kernels read and write rows of query, key, value and their gradients, and the rows' statistics, as generated WGSL: the storage variable, and `load_NAME(row,
//! pack)` or `store_NAME(row, pack, x)` for four channels from `4 * pack` on of the row that begins at `row`, counted in packs of memory.
//!
//! Rows whose size is a multiple of 4 are read four channels at a time; f16, by kernels that compute in f32, as pairs in words, which takes
//! half the loads. Of other rows, what lies behind the last channel is read as 0, or as the last channel where whatever it meets is 0 or
//! dropped: its index is clamped rather than the load guarded, as a branch costs more than a spare load.

use super::super::Dims;
use super::walk::Tile;
use crate::graph::StepDesc;
use crate::kernel::{Accessor, Four, Generated, Operand, Past, ignored};
use crate::tensor::DType;

/// What the functions of rows take: where the row begins, and which four channels.
const ARGUMENTS: &str = "row: u32, pack: u32";

/// Which size the rows of a tensor have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ops::attention) enum Channels {
    Head,
    Value,
}

impl Channels {
    /// The constant of the size, and the alias of a pack as it is stored.
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Head => ("HEAD_SIZE", "KeyPack"),
            Self::Value => ("VALUE_SIZE", "ValuePack"),
        }
    }

    fn of(self, dims: &Dims) -> usize {
        match self {
            Self::Head => dims.head_size,
            Self::Value => dims.value_size,
        }
    }
}

/// Writes the functions of one kernel's rows.
#[derive(Clone, Copy, Debug)]
pub(in crate::ops::attention) struct Rows {
    pub(in crate::ops::attention) dims: Dims,
    /// The element type in memory.
    pub(in crate::ops::attention) dtype: DType,
    pub(in crate::ops::attention) tile: Tile,
}

impl Rows {
    /// Rows of `name` that are read.
    pub(in crate::ops::attention) fn read(
        self,
        name: &str,
        binding: u32,
        channels: Channels,
        past: Past,
    ) -> String {
        let (size, pack) = channels.names();
        // Fragments take factors in their own type.
        let element = if matches!(self.tile, Tile::Fragments(_)) { "Operand" } else { "f32" };
        let whole = channels.of(&self.dims).is_multiple_of(4);
        let accessor = match (whole, element, self.dtype) {
            (true, "f32", DType::F16) => Accessor::pairs(name),
            (true, "f32", DType::F32) => Accessor::elements(name, self.dtype, whole, element).only_read(),
            _ => Accessor::elements(name, self.dtype, whole, element).stored_as(pack),
        };
        let function = format!("load_{name}");
        let load = match whole {
            true => accessor.load_vector(&function, ARGUMENTS, "row + pack"),
            false => accessor.load_four(&function, ARGUMENTS, &channels_of(size), past),
        };
        accessor.declaration(binding as usize, false) + &load
    }

    /// Rows of `name` that are written, of the type `pack` where that is not the tensors'.
    pub(in crate::ops::attention) fn write(
        self,
        name: &str,
        binding: u32,
        channels: Channels,
        pack: Option<&'static str>,
    ) -> String {
        let (size, own) = channels.names();
        let whole = channels.of(&self.dims).is_multiple_of(4);
        let accessor = Accessor::elements(name, self.dtype, whole, "f32").stored_as(pack.unwrap_or(own));
        let function = format!("store_{name}");
        let store = match whole {
            true => accessor.store_vector(&function, ARGUMENTS, "row + pack"),
            false => accessor.store_four(&function, ARGUMENTS, &channels_of(size), None),
        };
        accessor.declaration(binding as usize, true) + &store
    }

    /// Rows of `name` of the type `pack` that are written and, in f32, read again.
    pub(in crate::ops::attention) fn update(
        self,
        name: &str,
        binding: u32,
        channels: Channels,
        pack: &'static str,
    ) -> String {
        let (size, _) = channels.names();
        let whole = channels.of(&self.dims).is_multiple_of(4);
        let accessor = Accessor::elements(name, self.dtype, whole, "f32").stored_as(pack);
        let function = format!("load_{name}");
        let load = match whole {
            true => accessor.load_vector(&function, ARGUMENTS, "row + pack"),
            false => accessor.load_four(&function, ARGUMENTS, &channels_of(size), Past::Last),
        };
        self.write(name, binding, channels, Some(pack)) + &load
    }
}

/// Four channels of a row of `size`.
fn channels_of(size: &str) -> Four<'_> {
    Four { line: "row", first: "pack * 4u", end: Some(size) }
}

/// The storage variable of each row's maximum and sum, and `store_statistics(at, value: vec2<f32>)`, which does nothing where they are not
/// `wanted`.
pub(in crate::ops::attention) fn write_statistics(binding: u32, wanted: bool) -> String {
    let pairs = Accessor::packs("statistics", DType::F32, 2);
    match wanted {
        true => pairs.declaration(binding as usize, true) + &pairs.store("store_statistics", "at: u32", "at"),
        false => ignored("store_statistics", "at: u32", pairs.value()),
    }
}

/// Where a step whose third output is its rows' statistics puts them: in scratch where nobody reads them.
pub(in crate::ops::attention) fn statistics_of(step: &StepDesc, scratch: &mut Vec<u64>) -> Operand {
    if step.wanted[2] {
        return Operand::Output(2);
    }
    scratch.push(step.outputs[2].buffer_bytes());
    Operand::Scratch(scratch.len() - 1)
}

/// [`write_statistics`], and `load_statistics(at)` besides.
pub(in crate::ops::attention) fn update_statistics(binding: u32) -> String {
    let pairs = Accessor::packs("statistics", DType::F32, 2);
    write_statistics(binding, true) + &pairs.load("load_statistics", "at: u32", "at")
}

/// `functions` as a part of a shader.
pub(in crate::ops::attention) fn generated(functions: impl IntoIterator<Item = String>) -> Generated {
    Generated { label: "(generated accessors)".into(), text: functions.into_iter().collect(), by_user: false }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{Shader, Tuning};

    fn text(dtype: DType, size: usize) -> String {
        let dims = Dims::from_dims(&[1, 2, 1, size], &[1, 2, 1, size], &[1, 2, 1, size]);
        let tile = Tile::Registers(Tuning::for_adapter(crate::kernel::AdapterKind::Discrete, None).attention);
        let rows = Rows { dims, dtype, tile };
        [
            rows.read("key", 1, Channels::Head, Past::Zero),
            rows.read("value", 2, Channels::Value, Past::Last),
            rows.write("out", 3, Channels::Value, None),
        ]
        .concat()
    }

    #[test]
    fn rows_of_every_type_and_size_are_valid() {
        for dtype in [DType::F32, DType::F16] {
            for size in [1, 3, 4, 64] {
                let lanes = if size % 4 == 0 { 4 } else { 1 };
                let entry = "struct Params {\n    row: u32,\n}\n@group(0) @binding(0) var<uniform> params: Params;\n\
                     @compute @workgroup_size(1)\nfn main() {\n    let row = params.row;\n    \
                     store_out(row, 0u, load_key(row, 0u) + load_value(row, 0u));\n}\n";
                let shader = Shader::new("probe", [])
                    .alias("KeyPack", dtype, lanes)
                    .alias("ValuePack", dtype, lanes)
                    .constant("HEAD_SIZE", size as u32)
                    .constant("VALUE_SIZE", size as u32)
                    .generated([generated([text(dtype, size), entry.to_owned()])]);
                let wgsl = shader.render().unwrap().wgsl;
                let module = naga::front::wgsl::parse_str(&wgsl)
                    .unwrap_or_else(|error| panic!("{dtype} {size}: {error}"));
                naga::valid::Validator::new(
                    naga::valid::ValidationFlags::all(),
                    naga::valid::Capabilities::all(),
                )
                .validate(&module)
                .unwrap_or_else(|error| panic!("{dtype} {size}: {error}"));
            }
        }
    }

    #[test]
    fn what_lies_behind_the_last_channel_is_0_or_the_last() {
        let text = text(DType::F32, 3);
        let at = |of: &str| -> String {
            let function = text.split("\nfn ").find(|function| function.starts_with(of));
            function
                .unwrap_or_else(|| panic!("no {of} in {text}"))
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" ")
        };
        let (key, value, out) = (at("load_key"), at("load_value"), at("store_out"));
        for load in [&key, &value] {
            assert!(
                load.contains("let last = ") && load.contains("[start + min(pack * 4u + 3u, last)]"),
                "{load}"
            );
        }
        assert!(
            key.contains("select(vec4<f32>(), vec4<f32>(") && key.contains("< vec4(HEAD_SIZE))"),
            "{key}"
        );
        assert!(value.contains("return vec4<f32>( f32(value[start + min("), "{value}");
        assert!(out.contains("if pack * 4u + 3u < VALUE_SIZE {"), "{out}");
    }
}
