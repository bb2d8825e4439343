// Reads the block list of a tile of rows, which make_block_lists.wgsl has made: ranges of columns, and tiles gathered from blocks of
// GRAIN columns.
struct ListEntry {
    begin: i32,
    end: i32,
    is_whole: bool,  // every row sees, or is seen by, every column of it
    grains: u32,     // where the first columns of a gathered tile's blocks are listed; 0 for a range
    next: u32,       // where the next entry is
}

fn block_list(batch: u32, kv_head: u32, tile: u32) -> u32 {
    var place = tile;
    if LISTS_BY_HEAD {
        place += kv_head * params.row_tiles;
    }
    if LISTS_BY_BATCH {
        place += batch * params.row_tiles * select(1u, params.kv_heads, LISTS_BY_HEAD);
    }
    return section(BLOCK_LISTS) + place * (1u + params.list_capacity);
}

fn block_list_length(list: u32) -> u32 {
    return aux_buffer[list];
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

// The first of the four columns of a vector of the tile that begins at `start`.
fn vector_start(entry: ListEntry, start: i32, vector: u32) -> i32 {
    if entry.grains == 0u {
        return start + i32(vector * 4u);
    }
    const VECTORS: u32 = GRAIN / 4u * COLUMN_UNIT;
    return integer(entry.grains + vector / VECTORS) * i32(COLUMN_UNIT) + i32(vector % VECTORS * 4u);
}
