// Value rows whose VALUE_SIZE is a multiple of 4, as fragments take them.
@group(0) @binding(3) var<storage, read> value: array<ValuePack>;

const VALUE_STRIDE: u32 = VALUE_SIZE / 4u;

fn load_value(row: u32, pack: u32) -> vec4<Operand> {
    return value[row + pack];
}
