// The rows that a pass owns and the columns that it walks over: queries of one round and keys, or, where ROWS_ARE_KEYS, keys of one round and
// queries; columns are of the same round or, in a ring, of its neighbours.
fn row_count() -> u32 {
    return select(params.query_slots, params.key_slots, ROWS_ARE_KEYS);
}

fn column_count() -> u32 {
    return select(params.key_slots, params.query_slots, ROWS_ARE_KEYS);
}

fn active_row_count(batch: u32) -> u32 {
    return row_count();
}

fn row_slot(row: u32) -> u32 {
    return params.round * row_count() + row;
}

fn column_slot(column: u32) -> u32 {
    return around(column, params.rounds * column_count());
}

fn round_of(column: u32) -> u32 {
    return column_slot(column) / column_count();
}

fn row_entry(batch: u32, head: u32, row: u32) -> i32 {
    if ROWS_ARE_KEYS {
        return key_entry(batch, head, row_slot(row));
    }
    return query_entry(batch, head, row_slot(row));
}

fn column_entry(batch: u32, head: u32, column: u32) -> i32 {
    if ROWS_ARE_KEYS {
        return query_entry(batch, head, column_slot(column));
    }
    return key_entry(batch, head, column_slot(column));
}

fn row_place(batch: u32, head: u32, row: u32) -> u32 {
    let entry = row_entry(batch, head, row);
    if ROWS_ARE_KEYS {
        return key_place(batch, head, entry);
    }
    return query_place(batch, head, entry);
}

// The columns of a row: [x, y). A query sees as many chunks before it as a key is seen by behind it.
fn met(batch: u32, row: u32) -> vec2<i32> {
    if ROWS_ARE_KEYS {
        return chunks_met(quotient(row, params.key_chunk), params.after, params.before) * i32(params.query_chunk);
    }
    return chunks_met(quotient(row, params.query_chunk), params.before, params.after) * i32(params.key_chunk);
}
