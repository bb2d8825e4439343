// What the backward passes know of a row beforehand: L_i, in units of log2, and D_i = d_out_i . out_i - dL_i. One invocation
// per row, in the order of the passes' queries.
struct Params {
    start: u32,
    query_time: u32,
    kv_heads: u32,
    rows: u32,  // batch * query_time * heads
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> out: array<Pack>;                       // [batch, query_time, head, VALUE_SIZE]
@group(0) @binding(2) var<storage, read> lse: array<f32>;                        // [batch, head, query_time]
@group(0) @binding(3) var<storage, read> d_out: array<Pack>;                     // as out
// Results lie in the auxiliary buffer: [batch, kv_head, query_time, member, 2]

const LOG2_E: f32 = 1.4426950408889634;

@compute @workgroup_size(WORKERS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let id = (group.x + group.y * groups.x) * WORKERS + lane;
    if id >= params.rows {
        return;
    }
    let query = id / GROUP % params.query_time;
    let kv_head = id / GROUP / params.query_time % params.kv_heads;
    let batch = id / GROUP / params.query_time / params.kv_heads;
    let heads = params.kv_heads * GROUP;
    let head = kv_head * GROUP + id % GROUP;

    let row = ((batch * params.query_time + query) * heads + head) * ROW_PACKS;
    // Channel by channel, as the passes sum d_out_i . v_j: a row that sees a single key then has gradients of exactly 0.
    var d = 0.0;
    for (var pack = 0u; pack < ROW_PACKS; pack++) {
        d = add_product(d, Lanes(d_out[row + pack]), Lanes(out[row + pack]));
    }
    let at = (batch * heads + head) * params.query_time + query;
    // A row that sees nothing has weights of 0, which a log-sum-exp far above every score gives.
    let l = lse[at];
    aux_buffer[params.start + 2u * id] = bitcast<u32>(select(l * LOG2_E, -EMPTY_ROW_LSE, l < 0.5 * EMPTY_ROW_LSE));
    aux_buffer[params.start + 2u * id + 1u] = bitcast<u32>(d - load_d_lse(at));
}
