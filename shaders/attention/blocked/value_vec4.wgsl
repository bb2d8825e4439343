// Value rows whose VALUE_SIZE is a multiple of 4.
@group(0) @binding(3) var<storage, read> value: array<ValuePack>;

const VALUE_STRIDE: u32 = VALUE_SIZE / 4u;

fn load_value(row: u32, pack: u32) -> vec4<f32> {
    return vec4<f32>(value[row + pack]);
}
