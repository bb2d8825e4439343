// Merges the key splits of blocked attention: L = log sum exp L_s, O = sum exp(L_s - L) O_s. One invocation per
// output channel. Splits that saw no key (L_s = EMPTY_ROW_LSE) have weight 0; a row without keys gives 0.
struct Params {
    query_time: u32,
    heads: u32,
    rows: u32,    // batch * query_time * heads
    splits: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> partial_out: array<f32>;  // [split, batch, time, head, VALUE_SIZE]
@group(0) @binding(2) var<storage, read> partial_lse: array<f32>;  // [split, batch, head, time]
@group(0) @binding(3) var<storage, read_write> out: array<OutElem>;


@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let id = (group.x + group.y * groups.x) * LANES + lane;
    let row = id / VALUE_SIZE;
    if row >= params.rows {
        return;
    }
    let head = row % params.heads;
    let time = row / params.heads % params.query_time;
    let batch = row / params.heads / params.query_time;
    let stat = (batch * params.heads + head) * params.query_time + time;

    var largest = EMPTY_ROW_LSE;
    for (var s = 0u; s < params.splits; s++) {
        largest = max(largest, partial_lse[s * params.rows + stat]);
    }
    var sum = 0.0;
    var total = 0.0;
    for (var s = 0u; s < params.splits; s++) {
        let l = partial_lse[s * params.rows + stat];
        if l > 0.5 * EMPTY_ROW_LSE {
            let w = exp(l - largest);
            sum += w;
            total += w * partial_out[s * params.rows * VALUE_SIZE + id];
        }
    }
    let seen = sum > 0.0;
    let safe = select(1.0, sum, seen);
    out[id] = OutElem(total / safe);
    if id % VALUE_SIZE == 0u {
        store_lse(stat, select(EMPTY_ROW_LSE, largest + log(safe), seen));
    }
}
