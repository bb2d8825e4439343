// Finds the runs of each tile of rows: stretches of columns that some row of the tile may meet, in order. Stretches of whole tiles of
// columns that every row meets are told apart from those that must be looked at pair by pair. One invocation per tile of rows; rows
// and columns are queries and keys, or the other way round.
//
// Columns are asked about in stretches of 512, of 64 where the answer is mixed, and of GRAIN: the work grows with what is met, and
// with the columns only by their 512th part.
const WIDEST: i32 = 512;
const GRAIN: i32 = 8;

// Where the list begins, the runs in it, and the last of them: begin, end, and whether all of it is met.
var<private> list: u32;
var<private> count: u32;
var<private> last: vec3<i32>;

fn put_last() {
    if last.y > last.x {
        let at = list + 1u + 2u * (count - 1u);
        side[at] = u32(last.x);
        side[at + 1u] = u32(last.y * 2 + last.z);
    }
}

// Appends [begin, end); a list that is full takes it as part of its last run, which then holds more than is met.
fn put(begin: i32, end: i32, whole: i32) {
    if last.y == begin && last.z == whole && count > 0u {
        last.y = end;
    } else if count == params.run_capacity {
        last = vec3(last.x, end, 0);
    } else {
        put_last();
        count++;
        last = vec3(begin, end, whole);
    }
}

fn meets_columns(batch: u32, kv_head: u32, rows: vec2<i32>, first: i32, end: i32) -> vec2<bool> {
    var at = Rect(rows.x, rows.y, first, end - 1);
    if ROWS_ARE_KEYS {
        at = Rect(first, end - 1, rows.x, rows.y);
    }
    var met = meets(batch, kv_head * GROUP, at);
    if RUNS_BY_HEAD {
        for (var member = 1u; member < GROUP; member++) {
            let own = meets(batch, kv_head * GROUP + member, at);
            met = vec2(met.x || own.x, met.y && own.y);
        }
    }
    return met;
}

fn tiles(columns: i32) -> i32 {
    let size = i32(params.tile_columns);
    return (columns + size - 1) / size;
}

// Appends a stretch that some row may meet, cut where whole tiles of it are met by all.
fn put_stretch(batch: u32, kv_head: u32, rows: vec2<i32>, stretch: vec2<i32>) {
    let size = i32(params.tile_columns);
    for (var first = stretch.x; first < stretch.y; first += size) {
        let end = min(first + size, stretch.y);
        put(first, end, i32(meets_columns(batch, kv_head, rows, first, end).y));
    }
}

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let id = (group.x + group.y * groups.x) * LANES + lane;
    if id >= params.count {
        return;
    }
    let tile = id % params.row_tiles;
    var kv_head = 0u;
    var batch = 0u;
    if RUNS_BY_HEAD {
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
    list = section(RUNS) + id * (1u + 2u * params.run_capacity);

    var stretch = vec2(0);
    var at = 0;
    while at < columns {
        var size = WIDEST;
        while at % size != 0 {
            size /= 8;
        }
        var met = meets_columns(batch, kv_head, rows, at, min(at + size, columns));
        while met.x && !met.y && size > GRAIN {
            size /= 8;
            met = meets_columns(batch, kv_head, rows, at, min(at + size, columns));
        }
        let end = min(at + size, columns);
        if met.x {
            // A gap is part of a stretch where leaving it out would save no tile.
            let joined = tiles(end - stretch.x) <= tiles(stretch.y - stretch.x) + tiles(end - at);
            if stretch.y > stretch.x && !joined {
                put_stretch(batch, kv_head, rows, stretch);
            }
            if stretch.y == stretch.x || !joined {
                stretch.x = at;
            }
            stretch.y = end;
        }
        at = end;
    }
    put_stretch(batch, kv_head, rows, stretch);
    put_last();
    side[list] = count;
}
