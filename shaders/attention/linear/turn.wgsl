// States with rows and columns exchanged, a vector of four by an invocation.
const PACKS: u32 = (COLUMNS + 3u) / 4u;
const TURNED_PACKS: u32 = (ROWS + 3u) / 4u;

fn element(i: u32) {
    let pack = i % TURNED_PACKS;
    let column = i / TURNED_PACKS % COLUMNS;
    let first = i / TURNED_PACKS / COLUMNS * ROWS * PACKS;
    var values = vec4(0.0);
    for (var n = 0u; n < 4u; n++) {
        if 4u * pack + n < ROWS {
            values[n] = load_states(first + (4u * pack + n) * PACKS + column / 4u)[column % 4u];
        }
    }
    store_turned(i, values);
}
