// Makes the block list of each tile of rows: the columns that some of its rows may see, in order. An entry is a range of whole tiles of
// columns, marked where every row sees all of it, so that no pair needs to be looked at; or a tile gathered from blocks of GRAIN columns
// that were left over at the ends of stretches. One invocation per tile of rows; rows and columns are queries and keys, or keys and
// queries.
//
// The mask is evaluated for stretches of 512 columns, of 64 where those are visible in part, and of GRAIN: the work grows with what is
// visible, and with the columns only by their 512th part.
const WIDEST: i32 = 512;

// Where the next entry goes, in words of the list; how many there are. A range is `begin`, `2 end + whole`. A gathered tile is -1,
// `end`, and the first columns of its GRAINS blocks.
var<private> list: u32;
var<private> used: u32;
var<private> count: u32;
var<private> last: vec3<i32>;  // the range to be put next: begin, end, whether all of it is met
var<private> gathered: u32;    // blocks of the tile that is being gathered
var<private> gathering: u32;   // where their first columns go

fn put_word(at: u32, word: u32) {
    // What there is no room for makes the list void.
    if at < params.list_capacity {
        store_aux_buffer(list + 1u + at, word);
    }
}

fn put_last() {
    if last.y > last.x {
        put_word(used, u32(last.x));
        put_word(used + 1u, u32(last.y * 2 + last.z));
        used += 2u;
        count++;
    }
}

fn put(begin: i32, end: i32, whole: i32) {
    if last.y == begin && last.z == whole && last.y > last.x {
        last.y = end;
    } else {
        put_last();
        last = vec3(begin, end, whole);
    }
}

fn gather(begin: i32, columns: i32) {
    if gathered == 0u {
        put_word(used, 0xffffffffu);
        put_word(used + 1u, u32(columns));
        gathering = used + 2u;
        used += 2u + GRAINS;
        count++;
        for (var grain = 1u; grain < GRAINS; grain++) {
            // Behind the last column nothing is met.
            put_word(gathering + grain, u32(columns));
        }
    }
    put_word(gathering + gathered, u32(begin));
    gathered = (gathered + 1u) % max(GRAINS, 1u);
}

fn meets_columns(batch: u32, kv_head: u32, rows: vec2<i32>, first: i32, end: i32) -> vec2<bool> {
    var at = Rect(rows.x, rows.y, first, end - 1);
    if ROWS_ARE_KEYS {
        at = Rect(first, end - 1, rows.x, rows.y);
    }
    var met = meets(batch, kv_head * GROUP, at);
    if LISTS_BY_HEAD {
        for (var member = 1u; member < GROUP; member++) {
            let own = meets(batch, kv_head * GROUP + member, at);
            met = vec2(met.x || own.x, met.y && own.y);
        }
    }
    return met;
}

// Appends a stretch that some row may meet: its whole tiles, and what is left.
fn put_stretch(batch: u32, kv_head: u32, rows: vec2<i32>, stretch: vec2<i32>, columns: i32) {
    let size = i32(params.tile_columns);
    var first = stretch.x;
    while first + size <= stretch.y || (GRAINS == 0u && first < stretch.y) {
        let end = min(first + size, stretch.y);
        put(first, end, i32(meets_columns(batch, kv_head, rows, first, end).y));
        first = end;
    }
    if first < stretch.y {
        // The range must stand before the tile that is gathered behind it.
        put_last();
        last = vec3(0);
        while first < stretch.y {
            gather(first, columns);
            first += i32(GRAIN);
        }
    }
}

fn workgroup_main(workgroup: u32, lane: u32) {
    let id = workgroup * WORKGROUP + lane;
    if id >= params.lists {
        return;
    }
    let tile = id % params.row_tiles;
    var kv_head = 0u;
    var batch = 0u;
    if LISTS_BY_HEAD {
        kv_head = id / params.row_tiles % params.kv_heads;
        batch = id / params.row_tiles / params.kv_heads;
    } else {
        batch = id / params.row_tiles;
    }
    let first_row = tile * TILE_ROWS;
    var rows = vec2<i32>(0);
    var columns = 0;
    if ROWS_ARE_KEYS {
        rows = vec2<i32>(vec2(first_row, min(first_row + TILE_ROWS, params.key_time) - 1u));
        columns = i32(params.query_time);
    } else {
        rows = vec2<i32>(vec2(first_row, min(first_row + TILE_ROWS, params.query_time * GROUP) - 1u) / GROUP);
        columns = i32(params.key_time);
    }
    list = section(BLOCK_LISTS) + id * (1u + params.list_capacity);

    var stretch = vec2(0);
    var at = 0;
    while at < columns {
        var size = WIDEST;
        while at % size != 0 {
            size /= 8;
        }
        var met = meets_columns(batch, kv_head, rows, at, min(at + size, columns));
        while met.x && !met.y && size > i32(GRAIN) {
            size /= 8;
            met = meets_columns(batch, kv_head, rows, at, min(at + size, columns));
        }
        let end = min(at + size, columns);
        if met.x {
            // Where nothing is gathered, columns that the last tile of the stretch holds anyway belong to it.
            let size_of_tile = i32(params.tile_columns);
            let paid = stretch.x + (stretch.y - stretch.x + size_of_tile - 1) / size_of_tile * size_of_tile;
            if at > stretch.y && (GRAINS > 0u || at >= paid) {
                put_stretch(batch, kv_head, rows, stretch, columns);
                stretch.x = at;
            }
            stretch.y = end;
        }
        at = end;
    }
    put_stretch(batch, kv_head, rows, stretch, columns);
    put_last();
    if used > params.list_capacity {
        // Everything is looked at, pair by pair.
        store_aux_buffer(list + 1u, 0u);
        store_aux_buffer(list + 2u, u32(columns * 2));
        count = 1u;
    }
    store_aux_buffer(list, count);
}
