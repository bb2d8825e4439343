// The runs of a tile of rows, as runs.wgsl has found them.
fn run_list(batch: u32, kv_head: u32, tile: u32) -> u32 {
    var place = tile;
    if RUNS_BY_HEAD {
        place += kv_head * params.row_tiles;
    }
    if RUNS_BY_BATCH {
        place += batch * params.row_tiles * select(1u, params.kv_heads, RUNS_BY_HEAD);
    }
    return section(RUNS) + place * (1u + 2u * params.run_capacity);
}

fn run_count(list: u32) -> u32 {
    return side[list];
}

// Begin, end, and whether all of it is met: in the unit of rules, queries or keys.
fn load_run(list: u32, number: u32) -> vec3<i32> {
    let at = list + 1u + 2u * number;
    let end = integer(at + 1u);
    return vec3(integer(at), end / 2, end & 1);
}
