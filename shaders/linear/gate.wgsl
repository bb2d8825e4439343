// The gated linear unit of a product that was stored: [rows, two factors of `width`]. For weights larger than a binding, which
// are multiplied part by part.
struct Params {
    width: u32, // elements
    count: u32, // of the result
    workgroups: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> factors: array<Factor>;
@group(0) @binding(2) var<storage, read_write> c: array<CPack>;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let group = id.x + id.y * grid.x;
    let i = group * WORKGROUP + lane;
    // The grid may hold groups without work, whose elements would not even fit 32 bits.
    if group >= params.workgroups || i >= params.count {
        return;
    }
    let first = i / params.width * params.width + i; // 2 * width elements a row
    c[i] = CPack(gate(f32(factors[first]), f32(factors[first + params.width])) + residual_at(i));
}
