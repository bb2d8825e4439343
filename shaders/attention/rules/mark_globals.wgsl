// For each batch item and each position, whether a list has it (in the lowest bit), and how many positions of the list lie before it.
// `positions` is [batch, listed]. Numbers that are no position count nowhere.
fn element(i: u32) {
    let own = i32(i % params.time);
    let list = i / params.time * params.listed;
    var before = 0u;
    var has = false;
    for (var at = list; at < list + params.listed; at++) {
        let position = load_positions(at);
        before += u32(position >= 0 && position < own);
        has = has || position == own;
    }
    store_aux_buffer(params.start + i, before * 2u + u32(has));
}
