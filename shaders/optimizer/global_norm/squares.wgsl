// Sums of squares of a gradient, one for each invocation. A pack is one element or a vector of four.
struct Params {
    count: u32, // packs
    workgroups: u32,
    first_partial: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> gradient: array<Lanes>;
@group(0) @binding(2) var<storage, read_write> partials: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let group = id.x + id.y * grid.x;
    if group >= params.workgroups {
        return;
    }
    var sum = 0.0;
    let first = group * WORKGROUP * SHARE + lane;
    for (var i = 0u; i < SHARE; i++) {
        let at = first + i * WORKGROUP;
        if at < params.count {
            let g = gradient[at];
            sum += lanes_sum(g * g);
        }
    }
    partials[params.first_partial + group * WORKGROUP + lane] = sum;
}
