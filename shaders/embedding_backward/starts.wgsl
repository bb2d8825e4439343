// starts[row] = where among the sorted tokens those of `row` begin, and behind the last row where they all end.

struct Params {
    tokens: u32,
    rows: u32,
    workgroups: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
// The row of each token, and the token; those of no row have the largest numbers.
@group(0) @binding(1) var<storage, read> sorted: array<vec2<u32>>;
@group(0) @binding(2) var<storage, read_write> starts: array<u32>;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let group = id.x + id.y * grid.x;
    let row = group * WORKGROUP + lane;
    if group >= params.workgroups || row > params.rows {
        return;
    }
    var low = 0u;
    var high = params.tokens;
    while low < high {
        let middle = low + (high - low) / 2u;
        if sorted[middle].x < row {
            low = middle + 1u;
        } else {
            high = middle;
        }
    }
    starts[row] = low;
}
