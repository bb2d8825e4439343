// partials[group] = sum of term(a, b) over CHUNK packs, one workgroup each.

struct Params {
    // In packs.
    count: u32,
    workgroups: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<Pack>;
@group(0) @binding(2) var<storage, read> b: array<Pack>;
@group(0) @binding(3) var<storage, read_write> partials: array<f32>;

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
    let first = group * CHUNK;
    let packs = min(params.count - first, CHUNK);
    var terms = Lanes(0.0);
    for (var i = lane; i < packs; i += WORKGROUP) {
        terms += term(Lanes(a[first + i]), Lanes(b[first + i]));
    }
    let sum = row_sum(0u, lanes_sum(terms), lane);
    if lane == 0u {
        partials[group] = sum;
    }
}
