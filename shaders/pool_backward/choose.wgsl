// chosen[row] = the first of the row's positions at which each channel is largest; none has the number of a row without positions.

struct Params {
    time: u32,
    // In packs.
    width: u32,
    // Rows of a batch item.
    segments: u32,
    count: u32,
    workgroups: u32,
}

const NOWHERE: u32 = 0xFFFFFFFFu;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Pack>;
@group(0) @binding(2) var<storage, read_write> chosen: array<Places>;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let group = id.x + id.y * grid.x;
    let i = group * WORKGROUP + lane;
    if group >= params.workgroups || i >= params.count {
        return;
    }
    let row = i / params.width;
    let item = row / params.segments;
    let positions = positions_of(item, row % params.segments);
    var place = Places(NOWHERE);
    if positions.x < positions.y {
        let first = item * params.time * params.width + i % params.width;
        var largest = Lanes(x[first + positions.x * params.width]);
        place = Places(positions.x);
        for (var t = positions.x + 1u; t < positions.y; t++) {
            let here = Lanes(x[first + t * params.width]);
            place = select(place, Places(t), here > largest);
            largest = max(largest, here);
        }
    }
    chosen[i] = place;
}
