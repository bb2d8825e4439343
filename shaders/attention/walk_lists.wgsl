// Walks a tile of rows over the columns of its block list (make_block_lists.wgsl): ranges of columns, and tiles gathered from blocks of
// GRAIN columns.
struct ListEntry {
    begin: i32,
    end: i32,
    is_whole: bool,  // all rows meet all of it
    grains: u32,     // where the first columns of a gathered tile's blocks are listed; 0 for a range
    next: u32,       // where the next entry is
}

struct Cursor {
    start: i32,        // the first column of the tile at hand
    end: i32,          // behind the last column of its entry
    last_column: u32,  // what lies behind it is not read
    left: u32,         // entries from this one on
    entry: ListEntry,
}

// Rules count columns in keys or queries; the kernel, in keys or in rows of queries, COLUMN_UNIT of them.
fn load_entry(at: u32) -> ListEntry {
    let begin = integer(at);
    let end = integer(at + 1u);
    if begin < 0 {
        return ListEntry(0, end * i32(COLUMN_UNIT), false, at + 2u, at + 2u + GRAINS);
    }
    return ListEntry(begin * i32(COLUMN_UNIT), end / 2 * i32(COLUMN_UNIT), (end & 1) != 0, 0u, at + 2u);
}

fn enter(cursor: ptr<function, Cursor>, at: u32) {
    let entry = load_entry(at);
    (*cursor).entry = entry;
    (*cursor).start = entry.begin;
    (*cursor).end = entry.end;
    (*cursor).last_column = u32(max(entry.end - 1, 0));
}

// The first tile of columns. Splits take tiles by turns.
fn first_tile(batch: u32, kv_head: u32, tile: u32, split: u32) -> Cursor {
    var place = tile;
    if LISTS_BY_HEAD {
        place += kv_head * params.row_tiles;
    }
    if LISTS_BY_BATCH {
        place += batch * params.row_tiles * select(1u, params.kv_heads, LISTS_BY_HEAD);
    }
    let list = section(BLOCK_LISTS) + place * (1u + params.list_capacity);
    var cursor = Cursor(0, 0, 0u, aux_buffer[list], ListEntry(0, 0, false, 0u, 0u));
    if cursor.left > 0u {
        enter(&cursor, list + 1u);
    }
    if SPLIT {
        for (var hop = 0u; hop < split; hop++) {
            pass_tile(&cursor);
        }
    }
    return cursor;
}

fn has_tile(cursor: Cursor) -> bool {
    return cursor.left > 0u;
}

fn pass_tile(cursor: ptr<function, Cursor>) {
    (*cursor).start += i32(TILE_COLUMNS);
    if (*cursor).left > 0u && ((*cursor).start >= (*cursor).end || (*cursor).entry.grains > 0u) {
        (*cursor).left--;
        if (*cursor).left > 0u {
            enter(cursor, (*cursor).entry.next);
        }
    }
}

fn next_tile(cursor: ptr<function, Cursor>) {
    if SPLIT {
        for (var hop = 0u; hop < params.splits; hop++) {
            pass_tile(cursor);
        }
    } else {
        pass_tile(cursor);
    }
}

// The first of the four columns of a vector.
fn vector_start(cursor: Cursor, vector: u32) -> i32 {
    if cursor.entry.grains == 0u {
        return cursor.start + i32(vector * 4u);
    }
    const VECTORS: u32 = GRAIN / 4u * COLUMN_UNIT;
    return integer(cursor.entry.grains + vector / VECTORS) * i32(COLUMN_UNIT) + i32(vector % VECTORS * 4u);
}

// Whether some pair of the tile may be hidden.
fn is_partial(cursor: Cursor) -> bool {
    return cursor.start + i32(TILE_COLUMNS) > cursor.end || !cursor.entry.is_whole;
}
