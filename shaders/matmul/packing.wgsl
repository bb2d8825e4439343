// Lays B out anew for the tiles of a product: the columns of a tile behind one another, k by k, then those of the next tile.

struct Params {
    // In packs of four elements.
    cols: u32,
    width: u32, // of a tile
    b_batch: u32,
    b_head: u32,
    b_line: u32,
    // In lines, tiles and workgroups.
    inner: u32,
    tiles: u32,
    heads: u32,
    chunks: u32, // workgroups of a tile
    count: u32, // workgroups that have work; the folded grid may hold more
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> b: array<Pack>;
@group(0) @binding(2) var<storage, read_write> packed: array<Pack>;

@compute @workgroup_size(WG_X)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let id = group.x + group.y * groups.x;
    if id >= params.count {
        return;
    }
    let tile_of_all = id / params.chunks;
    let z = tile_of_all / params.tiles;
    let outer = z / params.heads;
    let col = (tile_of_all - z * params.tiles) * params.width;
    let first = (id - tile_of_all * params.chunks) * LINES;
    let last = min(first + LINES, params.inner);
    let source = outer * params.b_batch + (z - outer * params.heads) * params.b_head + col;
    let start = tile_of_all * params.inner * params.width;
    // Columns that do not exist are not read either.
    for (var at = lane; at < min(params.width, params.cols - col); at += WG_X) {
        for (var k = first; k < last; k++) {
            packed[start + k * params.width + at] = b[source + k * params.b_line + at];
        }
    }
}
