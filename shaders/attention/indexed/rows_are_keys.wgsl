// The pass that owns the keys of one round and walks over queries, of that round or, in a ring, its neighbours.
fn row_count() -> u32 {
    return params.key_slots;
}

fn active_row_count(batch: u32) -> u32 {
    return params.key_slots;
}

fn row_slot(row: u32) -> u32 {
    return params.round * params.key_slots + row;
}

fn column_slot(column: u32) -> u32 {
    return around(column, params.rounds * params.query_slots);
}

fn round_of(column: u32) -> u32 {
    return column_slot(column) / params.query_slots;
}

fn row_entry(batch: u32, head: u32, row: u32) -> i32 {
    return key_entry(batch, head, row_slot(row));
}

fn column_entry(batch: u32, head: u32, column: u32) -> i32 {
    return query_entry(batch, head, column_slot(column));
}

fn row_place(batch: u32, head: u32, row: u32) -> u32 {
    return key_place(batch, head, row_entry(batch, head, row));
}

fn column_place(batch: u32, head: u32, column: u32) -> u32 {
    return query_place(batch, head, column_entry(batch, head, column));
}

// The columns of a row: [x, y). A query sees as many chunks before it as a key is seen by behind it.
fn met(batch: u32, row: u32) -> vec2<i32> {
    return chunks_met(quotient(row, params.key_chunk), params.after, params.before) * i32(params.query_chunk);
}
