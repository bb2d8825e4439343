// Lays B out anew for the tiles of a product: the columns of a tile behind one another, k by k, then those of the next tile.
// Columns, widths and distances are in packs of four elements; workgroups copy LINES lines of a tile's columns each.
fn workgroup_main(id: u32, lane: u32) {
    let tile_of_all = id / params.chunks;
    let z = tile_of_all / params.tiles;
    let outer = z / params.heads;
    let col = (tile_of_all - z * params.tiles) * params.width;
    let first = (id - tile_of_all * params.chunks) * LINES;
    let last = min(first + LINES, params.inner);
    let source = outer * params.b_batch + (z - outer * params.heads) * params.b_head + col;
    let start = tile_of_all * params.inner * params.width;
    // Columns that do not exist are not read either.
    for (var at = lane; at < min(params.width, params.cols - col); at += WORKGROUP) {
        for (var k = first; k < last; k++) {
            store_packed(start + k * params.width + at, load_b(source + k * params.b_line + at));
        }
    }
}
