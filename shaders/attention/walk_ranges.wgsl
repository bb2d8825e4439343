// Walks a tile of rows over the columns that they meet, where each row meets one range of them. Ranges of rows never move back, so the
// first and the last row of a tile say which columns some of its rows meet, and which all of them do.
struct Cursor {
    start: i32,        // the first column of the tile at hand
    end: i32,          // behind the last column of all
    last_column: u32,  // what lies behind it is not read
    whole_from: i32,   // all rows meet the columns from here to
    whole_to: i32,
}

// The first tile of columns. Of several splits, each has its share of the columns: a window or a short item leaves none idle.
fn first_tile(batch: u32, kv_head: u32, tile: u32, split: u32) -> Cursor {
    // Rows from here on meet no column, and are not read.
    let rows = active_row_count(batch);
    let first_row = tile * TILE_ROWS;
    let last_row = min(first_row + TILE_ROWS, max(rows, 1u)) - 1u;
    let first = met(batch, min(first_row, last_row));
    let last = met(batch, last_row);
    var begin = first.x;
    var end = select(begin, last.y, first_row < rows);
    if SPLIT {
        let share = (max(end - begin, 0) + i32(params.splits) - 1) / i32(params.splits);
        begin += i32(split) * share;
        end = min(end, begin + share);
    }
    return Cursor(begin, end, u32(max(end - 1, 0)), last.x, min(first.y, end));
}

fn has_tile(cursor: Cursor) -> bool {
    return cursor.start < cursor.end;
}

fn next_tile(cursor: ptr<function, Cursor>) {
    (*cursor).start += i32(TILE_COLUMNS);
}

// The first of the four columns of a vector.
fn vector_start(cursor: Cursor, vector: u32) -> i32 {
    return cursor.start + i32(vector * 4u);
}

// Whether some pair of the tile may be hidden.
fn is_partial(cursor: Cursor) -> bool {
    return cursor.start < cursor.whole_from || cursor.start + i32(TILE_COLUMNS) > cursor.whole_to;
}
