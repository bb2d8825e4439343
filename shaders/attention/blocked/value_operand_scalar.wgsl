// Value rows of any VALUE_SIZE, as fragments take them; channels past the end repeat the last one.
@group(0) @binding(3) var<storage, read> value: array<ValuePack>;

const VALUE_STRIDE: u32 = VALUE_SIZE;

fn load_value(row: u32, pack: u32) -> vec4<Operand> {
    let at = vec4(row) + min(vec4(pack * 4u) + vec4(0u, 1u, 2u, 3u), vec4(VALUE_SIZE - 1u));
    return vec4(value[at.x], value[at.y], value[at.z], value[at.w]);
}
