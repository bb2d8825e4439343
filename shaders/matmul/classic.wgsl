// The textbook matrix product, kept as the yardstick: 64x64 tile, 16x16 invocations, 4x4 accumulators in an array, steps of
// 16 along `inner` staged through workgroup memory.
const STEP: u32 = 16u;
const_assert TILE_ROWS == 64u && TILE_COLS == 64u && WORKGROUP == 256u;

var<workgroup> tile_a: array<array<f32, 64>, STEP>; // [k][row]
var<workgroup> tile_b: array<array<f32, 64>, STEP>; // [k][col]

fn workgroup_main(id: u32, lane: u32) {
    let tile = tile_of(id);
    let x = lane % 16u;
    let y = lane / 16u;
    var acc = array<array<f32, 4>, 4>();
    for (var k0 = 0u; k0 < params.inner; k0 += STEP) {
        let last = params.inner - 1u;
        let k = k0 + y;
        let a_part = select(vec4<f32>(), a_column(tile.a, tile.row + 4u * x, min(k, last)), k <= last);
        let b_part = select(vec4<f32>(), b_row(tile.b, min(k, last), tile.col + 4u * x), k <= last);
        for (var i = 0u; i < 4u; i++) {
            tile_a[y][4u * x + i] = a_part[i];
            tile_b[y][4u * x + i] = b_part[i];
        }
        workgroupBarrier();
        for (var i = 0u; i < STEP; i++) {
            for (var r = 0u; r < 4u; r++) {
                for (var j = 0u; j < 4u; j++) {
                    acc[r][j] += tile_a[i][4u * y + r] * tile_b[i][4u * x + j];
                }
            }
        }
        workgroupBarrier();
    }
    for (var r = 0u; r < 4u; r++) {
        let line = vec4<f32>(acc[r][0], acc[r][1], acc[r][2], acc[r][3]);
        finish(tile.c, tile.row + 4u * y + r, tile.col + 4u * x, line);
    }
}
