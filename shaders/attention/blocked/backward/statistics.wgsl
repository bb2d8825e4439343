// What the backward passes know of a row beforehand: its largest score m_i, in units of log2; 1 / l_i of the sum of its weights relative to
// that; and D_i = d_out_i . out_i - dL_i. One element is one row, in the order of the passes' queries; results lie in the auxiliary buffer,
// [batch, kv_head, query_time, member, 3].
fn element(id: u32) {
    let query = id / GROUP % params.query_time;
    let kv_head = id / GROUP / params.query_time % params.kv_heads;
    let batch = id / GROUP / params.query_time / params.kv_heads;
    let heads = params.kv_heads * GROUP;
    let head = kv_head * GROUP + id % GROUP;

    let row = ((batch * params.query_time + query) * heads + head) * ROW_PACKS;
    // Channel by channel, as the passes sum d_out_i . v_j: a row that sees a single key then has gradients of exactly 0.
    var d = 0.0;
    for (var pack = 0u; pack < ROW_PACKS; pack++) {
        let d_out = load_d_out(row + pack);
        let out = load_out(row + pack);
        for (var i = 0u; i < PACK; i++) {
            d = fma(lane_of(d_out, i), lane_of(out, i), d);
        }
    }
    let at = (batch * heads + head) * params.query_time + query;
    let sum = load_statistics(2u * at + 1u);
    let seen = sees_some(sum);
    // A row that sees nothing has weights of 0, which a maximum far above every score gives.
    store_aux_buffer(params.start + 3u * id, bitcast<u32>(select(-EMPTY_ROW_LSE, load_statistics(2u * at), seen)));
    store_aux_buffer(params.start + 3u * id + 1u, bitcast<u32>(select(0.0, 1.0 / select(1.0, sum, seen), seen)));
    store_aux_buffer(params.start + 3u * id + 2u, bitcast<u32>(d - load_d_lse(at)));
}
