// Which part of the result a workgroup computes: C[z] = A[z] * B[z] for z = outer * heads + head, in tiles of TILE_ROWS by TILE_COLS.
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
        params.a_first + outer * params.a_batch + head * params.a_head,
        params.b_first + outer * params.b_batch + head * params.b_head + col_tile * params.b_panel,
        params.c_first + outer * params.c_batch + head * params.c_head,
    );
}
