// Upstream gradient in rows whose VALUE_SIZE is a multiple of 4, as fragments take it.
@group(0) @binding(4) var<storage, read> d_out: array<ValuePack>;

fn load_d_out(row: u32, pack: u32) -> vec4<Operand> {
    return d_out[row + pack];
}
