// Walks a tile of relative keys over the queries that have a key at one of their distances, batch item by batch item.
struct Cursor {
    start: i32,        // the first query of the tile at hand
    end: i32,          // behind the last one of the item
    last_column: u32,  // what lies behind it is not read
    batch: u32,
    rows: vec2<i32>,   // the first relative key of the tile, and the last
    split: u32,
}

// The first tile of queries. Of several splits, each has its share of every item's.
fn first_tile(first_row: u32, last_row: u32, split: u32) -> Cursor {
    let is_shown = i32(last_row) >= params.relative_first && i32(first_row) <= params.relative_last;
    var cursor = Cursor(0, 0, 0u, select(params.batch, 0u, is_shown), vec2(i32(first_row), i32(last_row)), split);
    enter_item(&cursor);
    return cursor;
}

// From the item at hand on, the first that has such queries.
fn enter_item(cursor: ptr<function, Cursor>) {
    while (*cursor).batch < params.batch {
        let shift = relative_shift((*cursor).batch);
        var begin = max((*cursor).rows.x - shift, 0);
        var end = min((*cursor).rows.y - shift + i32(params.key_time), i32(params.query_time));
        if SPLIT {
            let share = (max(end - begin, 0) + i32(params.splits) - 1) / i32(params.splits);
            begin += i32((*cursor).split) * share;
            end = min(end, begin + share);
        }
        if begin < end {
            (*cursor).start = begin;
            (*cursor).end = end;
            (*cursor).last_column = u32(end - 1);
            break;
        }
        (*cursor).batch++;
    }
}

fn has_tile(cursor: Cursor) -> bool {
    return cursor.batch < params.batch;
}

fn next_tile(cursor: ptr<function, Cursor>) {
    (*cursor).start += i32(TILE_COLUMNS);
    if (*cursor).start >= (*cursor).end {
        (*cursor).batch++;
        enter_item(cursor);
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
