// The first `kept` of each row's order: the positions, and the elements of x there.
fn element(i: u32) {
    let row = i / params.kept;
    let first = row * params.length;
    let position = load_order(first + (i - row * params.kept));
    store_positions(i, position);
    store_values(i, load_x(first + position));
}
