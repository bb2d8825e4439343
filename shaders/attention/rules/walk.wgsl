// What a tile of rows meets, as runs.wgsl has found it: runs of columns, and tiles gathered from grains.
struct Run {
    begin: i32,
    end: i32,
    is_whole: bool,  // every row meets all of it
    grains: u32,     // where the grains of a gathered tile are listed; 0 for a run
    next: u32,       // where the next entry is
}

fn run_list(batch: u32, kv_head: u32, tile: u32) -> u32 {
    var place = tile;
    if RUNS_BY_HEAD {
        place += kv_head * params.row_tiles;
    }
    if RUNS_BY_BATCH {
        place += batch * params.row_tiles * select(1u, params.kv_heads, RUNS_BY_HEAD);
    }
    return section(RUNS) + place * (1u + params.run_capacity);
}

fn run_count(list: u32) -> u32 {
    return side[list];
}

// Rules count columns in keys or queries; the kernel, in keys or in rows of queries, COLUMN_UNIT of them.
fn load_run(at: u32) -> Run {
    let begin = integer(at);
    let end = integer(at + 1u);
    if begin < 0 {
        return Run(0, end * i32(COLUMN_UNIT), false, at + 2u, at + 2u + GRAINS);
    }
    return Run(begin * i32(COLUMN_UNIT), end / 2 * i32(COLUMN_UNIT), (end & 1) != 0, 0u, at + 2u);
}

// The first of the four columns of a vector of the tile that begins at `start`.
fn vector_start(run: Run, start: i32, vector: u32) -> i32 {
    if run.grains == 0u {
        return start + i32(vector * 4u);
    }
    const VECTORS: u32 = GRAIN / 4u * COLUMN_UNIT;
    return integer(run.grains + vector / VECTORS) * i32(COLUMN_UNIT) + i32(vector % VECTORS * 4u);
}
