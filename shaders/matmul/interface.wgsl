// Shared by every matmul kernel: C[z] = A[z] * B[z] for z = outer * heads + head. Lengths in elements.
struct Params {
    rows: u32,
    cols: u32,
    inner: u32,
    heads: u32,
    a_batch: u32,
    a_head: u32,
    a_line: u32,
    b_batch: u32,
    b_head: u32,
    b_line: u32,
    b_panel: u32, // from a tile's columns to the next one's, beyond their number
    c_batch: u32,
    c_head: u32,
    c_line: u32,
    b_second: u32, // from B to the other factor of a gated product
    c_first: u32, // first element of C that is written, where B is a part of a matrix
    count: u32, // workgroups that have work; the folded grid may hold more
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<APack>;
@group(0) @binding(2) var<storage, read> b: array<BPack>;
@group(0) @binding(3) var<storage, read_write> c: array<CPack>;

struct Tile {
    row: u32, // first row and column of the workgroup's output tile
    col: u32,
    a: u32, // first element of each operand of this batch
    b: u32,
    c: u32,
}

// Column tiles vary fastest: neighbouring workgroups read the same rows of A.
fn tile_of(id: u32) -> Tile {
    let row_tiles = (params.rows + TILE_ROWS - 1u) / TILE_ROWS;
    let col_tiles = (params.cols + TILE_COLS - 1u) / TILE_COLS;
    let z = id / (row_tiles * col_tiles);
    let in_batch = id - z * row_tiles * col_tiles;
    let row_tile = in_batch / col_tiles;
    let col_tile = in_batch - row_tile * col_tiles;
    let outer = z / params.heads;
    let head = z - outer * params.heads;
    return Tile(
        row_tile * TILE_ROWS,
        col_tile * TILE_COLS,
        outer * params.a_batch + head * params.a_head,
        outer * params.b_batch + head * params.b_head + col_tile * params.b_panel,
        params.c_first + outer * params.c_batch + head * params.c_head,
    );
}
