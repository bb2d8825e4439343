//! How kernels read and write rows of query, key, value and their gradients, and the rows' statistics, as generated WGSL: the storage variable, and `load_NAME(row,
//! pack)` or `store_NAME(row, pack, x)` for four channels from `4 * pack` on of the row that begins at `row`, counted in packs of memory.
//!
//! Rows whose size is a multiple of 4 are read four channels at a time; f16, by kernels that compute in f32, as pairs in words, which takes
//! half the loads. Of other rows, what lies behind the last channel is read as 0, or as the last channel where whatever it meets is 0 or
//! dropped: its index is clamped rather than the load guarded, as a branch costs more than a spare load.

use std::fmt::Write;

use super::super::Dims;
use super::walk::Tile;
use crate::kernel::Generated;
use crate::tensor::DType;

/// What is read behind the last channel of rows that are no whole packs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ops::attention) enum Behind {
    Zero,
    Last,
}

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
        behind: Behind,
    ) -> String {
        let (size, pack) = channels.names();
        // Fragments take factors in their own type.
        let element = if matches!(self.tile, Tile::Fragments(_)) { "Operand" } else { "f32" };
        let whole = channels.of(&self.dims).is_multiple_of(4);
        let (stored, body) = match (whole, element, self.dtype) {
            (true, "f32", DType::F16) => (
                "vec2<u32>",
                format!(
                    "    let x = {name}[row + pack];\n    return vec4(unpack2x16float(x.x), unpack2x16float(x.y));\n"
                ),
            ),
            (true, ..) => (pack, format!("    return vec4<{element}>({name}[row + pack]);\n")),
            (false, ..) => (pack, Self::channel_by_channel(name, size, element, behind)),
        };
        format!(
            "@group(0) @binding({binding}) var<storage, read> {name}: array<{stored}>;\n\
             fn load_{name}(row: u32, pack: u32) -> vec4<{element}> {{\n{body}}}\n"
        )
    }

    fn channel_by_channel(name: &str, size: &str, element: &str, behind: Behind) -> String {
        let mut body = format!(
            "    let channel = vec4(pack * 4u) + vec4(0u, 1u, 2u, 3u);\n    let at = vec4(row) + min(channel, vec4({size} - 1u));\n"
        );
        let loads = ["x", "y", "z", "w"].map(|lane| format!("{element}({name}[at.{lane}])")).join(", ");
        let _ = match behind {
            Behind::Zero => {
                writeln!(body, "    return select(vec4<{element}>(), vec4({loads}), channel < vec4({size}));")
            }
            Behind::Last => writeln!(body, "    return vec4({loads});"),
        };
        body
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
        let pack = pack.unwrap_or(own);
        let body = match channels.of(&self.dims).is_multiple_of(4) {
            true => format!("    {name}[row + pack] = {pack}(x);\n"),
            false => format!(
                "    let channel = pack * 4u;\n    for (var i = 0u; i < min(4u, {size} - channel); i++) {{\n        \
                 {name}[row + channel + i] = {pack}(x[i]);\n    }}\n"
            ),
        };
        format!(
            "@group(0) @binding({binding}) var<storage, read_write> {name}: array<{pack}>;\n\
             fn store_{name}(row: u32, pack: u32, x: vec4<f32>) {{\n{body}}}\n"
        )
    }
}

/// The storage variable of each row's maximum and sum, and `store_statistics(at, largest, sum)`, which does nothing where they are not
/// `wanted`.
pub(in crate::ops::attention) fn write_statistics(binding: u32, wanted: bool) -> String {
    let (variable, body) = match wanted {
        true => (
            format!("@group(0) @binding({binding}) var<storage, read_write> statistics: array<vec2<f32>>;\n"),
            "    statistics[at] = vec2(largest, sum);\n",
        ),
        false => (String::new(), ""),
    };
    format!("{variable}fn store_statistics(at: u32, largest: f32, sum: f32) {{\n{body}}}\n")
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
            rows.read("key", 1, Channels::Head, Behind::Zero),
            rows.read("value", 2, Channels::Value, Behind::Last),
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
        assert!(text.contains("select(vec4<f32>(), vec4(f32(key[at.x]), f32(key[at.y]), f32(key[at.z]), f32(key[at.w])), channel < vec4(HEAD_SIZE))"), "{text}");
        assert!(
            text.contains(
                "return vec4(f32(value[at.x]), f32(value[at.y]), f32(value[at.z]), f32(value[at.w]));"
            ),
            "{text}"
        );
        assert!(text.contains("i < min(4u, VALUE_SIZE - channel)"), "{text}");
    }
}
