// The first `kept` positions of each row's order.
fn element(i: u32) {
    let row = i / params.kept;
    store_positions(i, load_order(row * params.length + (i - row * params.kept)));
}
