// Walks a tile of relative keys over the queries that have a key at one of their distances: the same in each batch item.
struct Cursor {
    start: i32,        // the first query of the tile at hand
    end: i32,          // behind the last one
    last_column: u32,  // what lies behind it is not read
    begin: i32,        // the first query of all
    batch: u32,
}

// The first tile of queries. Of several splits, each has its share of them.
fn first_tile(first_row: u32, last_row: u32, split: u32) -> Cursor {
    var begin = max(i32(first_row) - params.relative_shift, 0);
    var end = min(i32(last_row) - params.relative_shift + i32(params.key_time), i32(params.query_time));
    if SPLIT {
        let share = (max(end - begin, 0) + i32(params.splits) - 1) / i32(params.splits);
        begin += i32(split) * share;
        end = min(end, begin + share);
    }
    let is_shown = begin < end && i32(last_row) >= params.relative_first && i32(first_row) <= params.relative_last;
    return Cursor(begin, end, u32(max(end - 1, 0)), begin, select(params.batch, 0u, is_shown));
}

fn has_tile(cursor: Cursor) -> bool {
    return cursor.batch < params.batch;
}

fn next_tile(cursor: ptr<function, Cursor>) {
    (*cursor).start += i32(TILE_COLUMNS);
    if (*cursor).start >= (*cursor).end {
        (*cursor).start = (*cursor).begin;
        (*cursor).batch++;
    }
}

// The first of the four queries of a vector.
fn vector_start(cursor: Cursor, vector: u32) -> i32 {
    return cursor.start + i32(vector * 4u);
}

// Pairs are looked at one by one.
fn is_partial(cursor: Cursor) -> bool {
    return true;
}
