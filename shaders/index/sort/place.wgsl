// result[row][positions[row][j]] = values[row][j]. No two positions of a row are equal.
fn element(i: u32) {
    let row = i / params.kept;
    store_result(row * params.length + load_positions(i), load_values(i));
}
