// values[row][j] = x[row][positions[row][j]]
fn element(i: u32) {
    let row = i / params.kept;
    store_values(i, load_x(row * params.length + min(load_positions(i), params.length - 1u)));
}
