// The pass that owns queries and walks over keys.
fn row_count() -> u32 {
    return params.query_time * GROUP;
}

fn active_row_count(batch: u32) -> u32 {
    return row_count();
}

// Rows of all batch items and heads.
fn place_count() -> u32 {
    return params.batch * params.query_time * params.heads;
}

fn row_place(batch: u32, kv_head: u32, row: u32) -> u32 {
    return query_place(batch, kv_head, row);
}

fn column_place(batch: u32, kv_head: u32, column: u32) -> u32 {
    return key_place(batch, kv_head, column);
}

// The keys that a query sees: [x, y), empty when y is not the larger.
fn met(batch: u32, row: u32) -> vec2<i32> {
    let query = row / GROUP;
    var range = vec2(0, key_end(batch));
    if SEGMENTS {
        range = segment(batch, i32(query) + first_token(batch));
    }
    if BAND {
        let opposite = i32(query) + query_start(batch);
        range.x = max(range.x, opposite - params.band_left);
        range.y = min(range.y, opposite + params.band_right + 1);
    }
    return range;
}
