// For each row of queries, the sums that the gradients of the rule's terms are made of. A lane adds to those of its own rows only.
@group(0) @binding(11) var<storage, read_write> slots: array<f32>;  // [batch, query_time, head, SLOTS]

fn clear_slots(batch: u32, kv_head: u32, split: u32, first_row: u32, rows: u32, lane: u32) {
    for (var r = lane; r < min(TILE_ROWS, rows - first_row); r += LANES_X * LANES_Y) {
        let at = (query_place(batch, kv_head, first_row + r) + split * place_count()) * SLOTS;
        for (var slot = 0u; slot < SLOTS; slot++) {
            slots[at + slot] = 0.0;
        }
    }
}

fn add_pair_to_slots(batch: u32, kv_head: u32, split: u32, row: u32, column: u32, content: f32, added: f32, raw: f32) {
    let at = (query_place(batch, kv_head, row) + split * place_count()) * SLOTS;
    let head = kv_head * GROUP + row % GROUP;
    add_to_slots(at, batch, head, i32(row / GROUP), i32(column), content * params.scale, added, raw);
}
