//! How kernels read rows of heads as features, four channels at a time, and write rows, as generated WGSL: `NAME_row(place, pack)` gives
//! channels from `4 * pack` on of the row that is number `place` of the tensor, and `put_NAME(place, pack, value)` takes them. Behind the last
//! channel are zeros.

use crate::kernel::{Generated, Kernel, Operand};
use crate::ops::Activation;
use crate::tensor::DType;

/// Rows of a tensor, and the feature map and factor that are applied as they are read.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Rows {
    pub(in super::super) operand: Operand,
    pub(in super::super) dtype: DType,
    /// Channels of a row.
    pub(in super::super) size: usize,
    pub(in super::super) map: Activation,
    pub(in super::super) scale: f32,
    /// Whether rows are whole vectors of four, zeros behind the last channel.
    pub(in super::super) is_padded: bool,
}

impl Rows {
    /// Rows as they are.
    pub(in super::super) fn plain(operand: Operand, dtype: DType, size: usize) -> Self {
        Self { operand, dtype, size, map: Activation::Identity, scale: 1.0, is_padded: false }
    }

    /// Rows of scratch memory in f32, of whole vectors.
    pub(in super::super) fn padded(operand: Operand, size: usize) -> Self {
        Self { is_padded: true, ..Self::plain(operand, DType::F32, size) }
    }

    /// Vectors of four of a row.
    pub(in super::super) fn packs(&self) -> usize {
        self.size.div_ceil(4)
    }

    /// Whether a row is read and written a vector at a time.
    fn has_vectors(&self) -> bool {
        self.is_padded || self.size.is_multiple_of(4)
    }

    /// The kernel with the function that reads them.
    pub(in super::super) fn read(&self, kernel: Kernel, name: &'static str) -> Kernel {
        let size = self.size;
        let (kernel, loaded) = if self.has_vectors() {
            let kernel = kernel.lanes(4).read(name, self.operand, self.dtype);
            (kernel, format!("    let x = load_{name}(place * {}u + pack);\n", self.packs()))
        } else {
            let kernel = kernel.read_elements(name, self.operand, self.dtype);
            let channels: Vec<String> = (0..4)
                .map(|i| format!("load_{name}(first + min(4u * pack + {i}u, {}u))", size - 1))
                .collect();
            let first = format!("    let first = place * {size}u;\n");
            (
                kernel,
                format!("{first}    let x = vec4<f32>(\n        {},\n    );\n", channels.join(",\n        ")),
            )
        };
        let mut value = function_of(self.map);
        if self.scale.to_bits() != 1.0_f32.to_bits() {
            value = format!("{:e}f * ({value})", self.scale);
        }
        if !self.has_vectors() {
            value =
                format!("select(vec4(0.0), {value}, vec4(4u * pack) + vec4(0u, 1u, 2u, 3u) < vec4({size}u))");
        }
        let args = arguments_of(self.map);
        let text = format!(
            "fn {name}_row(place: u32, pack: u32) -> vec4<f32> {{\n{loaded}{args}    return {value};\n}}\n"
        );
        kernel.lanes(4).generated([generated(text)])
    }

    /// The kernel with `NAME_slope(place, pack)`, the derivative of the map, and the scale with it, which reads the tensor.
    pub(in super::super) fn read_slope(&self, kernel: Kernel, name: &'static str) -> Kernel {
        let kernel = Self { map: Activation::Identity, scale: 1.0, ..*self }.read(kernel, name);
        let args = arguments_of(self.map);
        let slope = self.map.wgsl()[1];
        let text = format!(
            "fn {name}_slope(place: u32, pack: u32) -> vec4<f32> {{\n    let x = {name}_row(place, pack);\n{args}    return \
             {:e}f * ({slope});\n}}\n",
            self.scale
        );
        kernel.generated([generated(text)])
    }

    /// The kernel with the function that writes them.
    pub(in super::super) fn write(&self, kernel: Kernel, name: &'static str) -> Kernel {
        let size = self.size;
        let (kernel, stores) = if self.has_vectors() {
            let kernel = kernel.lanes(4).write(name, self.operand, self.dtype);
            (kernel, format!("    store_{name}(place * {}u + pack, value);\n", self.packs()))
        } else {
            let kernel = kernel.write_elements(name, self.operand, self.dtype);
            let stores = (0..4).map(|i| {
                let channel = format!("4u * pack + {i}u");
                format!(
                    "    if {channel} < {size}u {{\n        store_{name}(place * {size}u + {channel}, value[{i}]);\n    }}\n"
                )
            });
            (kernel, stores.collect())
        };
        let text = format!("fn put_{name}(place: u32, pack: u32, value: vec4<f32>) {{\n{stores}}}\n");
        kernel.lanes(4).generated([generated(text)])
    }
}

/// The map of `x`, whose settings are `args`.
pub(super) fn function_of(map: Activation) -> String {
    map.wgsl()[0].to_owned()
}

/// `args`, where the map has settings.
pub(super) fn arguments_of(map: Activation) -> String {
    let settings: Vec<f32> = map.settings().into_iter().map(|(_, value)| value).collect();
    if settings.is_empty() {
        return String::new();
    }
    let setting = |i: usize| settings.get(i).copied().unwrap_or_default();
    format!("    let args = vec2<f32>({:e}f, {:e}f);\n", setting(0), setting(1))
}

pub(super) fn generated(text: String) -> Generated {
    Generated { label: "(generated rows)".into(), text, by_user: false }
}
