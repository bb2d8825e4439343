// The pass that owns keys and walks over queries.
fn row_count() -> u32 {
    return params.key_time;
}

// Keys from an item's length on are seen by nobody.
fn active_row_count(batch: u32) -> u32 {
    return u32(key_end(batch));
}

// Rows of all batch items and heads.
fn place_count() -> u32 {
    return params.batch * params.key_time * params.kv_heads;
}

fn row_place(batch: u32, kv_head: u32, row: u32) -> u32 {
    return key_place(batch, kv_head, row);
}

fn column_place(batch: u32, kv_head: u32, column: u32) -> u32 {
    return query_place(batch, kv_head, column);
}

// The (query, group member) pairs that see a key: [x, y), empty when y is not the larger.
fn met(batch: u32, row: u32) -> vec2<i32> {
    var range = vec2(0, i32(params.query_time));
    if SEGMENTS {
        // Queries and keys are the same tokens.
        range = segment(batch, i32(row)) - vec2(first_token(batch));
    }
    if BAND {
        let opposite = i32(row) - query_start(batch);
        range.x = max(range.x, opposite - params.band_right);
        range.y = min(range.y, opposite + params.band_left + 1);
    }
    // Ends beyond the queries could leave an i32 when multiplied.
    return clamp(range, vec2(0), vec2(i32(params.query_time))) * i32(GROUP);
}
