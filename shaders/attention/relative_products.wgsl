// Products of query rows with relative keys. What a pair needs goes by its distance, so a lane's rows and the keys of a tile share
// ROWS + TILE_COLUMNS - 1 relative keys: their products with every row are formed as those of rows and keys are, and are then read askew.
// Column n of row r is the product with the distance that lies between them when n = key - r. Of a lane's last two tiles of
// columns the memory is a ring, so that tiles side by side find each column once.
const RING: u32 = RING_TILES * TILE_COLUMNS;
const_assert ROWS <= TILE_COLUMNS;

var<workgroup> products: array<f32, TILE_ROWS * RING>;

// Four columns of this lane's share of the tile of columns that begins at `ring`.
fn put_products(lane: vec3<u32>, row: u32, vector: u32, ring: u32, x: vec4<f32>) {
    let at = (lane.y * ROWS + row) * RING + ring % RING + (lane.x + vector * LANES_X) * 4u;
    products[at] = x.x;
    products[at + 1u] = x.y;
    products[at + 2u] = x.z;
    products[at + 3u] = x.w;
}

// What four keys of this lane's share have with a row, once put_products is done for this tile and for the one before it.
fn products_of(lane: vec3<u32>, row: u32, vector: u32, ring: u32) -> vec4<f32> {
    let start = (lane.y * ROWS + row) * RING;
    let at = (vec4(ring + RING + (lane.x + vector * LANES_X) * 4u - row) + vec4(0u, 1u, 2u, 3u)) % vec4(RING);
    return vec4(products[start + at.x], products[start + at.y], products[start + at.z], products[start + at.w]);
}
