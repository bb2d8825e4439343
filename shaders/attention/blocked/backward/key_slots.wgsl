// For each row of keys, and each query head that sees them, the sums that the gradients of the rule's terms are made of.
@group(0) @binding(11) var<storage, read_write> slots: array<f32>;  // [batch, key_time, head, SLOTS]

fn clear_slots(batch: u32, kv_head: u32, split: u32, first_row: u32, rows: u32, lane: u32) {
    for (var r = lane; r < min(TILE_ROWS, rows - first_row); r += LANES_X * LANES_Y) {
        let at = (key_place(batch, kv_head, first_row + r) + split * place_count()) * GROUP * SLOTS;
        for (var slot = 0u; slot < GROUP * SLOTS; slot++) {
            slots[at + slot] = 0.0;
        }
    }
}

fn add_pair_to_slots(batch: u32, kv_head: u32, split: u32, row: u32, column: u32, content: f32, added: f32, raw: f32) {
    let member = column % GROUP;
    let at = ((key_place(batch, kv_head, row) + split * place_count()) * GROUP + member) * SLOTS;
    add_to_slots(at, batch, kv_head * GROUP + member, i32(column / GROUP), i32(row), content * params.scale, added, raw);
}
