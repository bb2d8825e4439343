// Sums of squares of a gradient, one for each lane: of SHARE packs.
fn row(row: u32, lane: u32) {
    var sum = 0.0;
    let first = row * WORKGROUP * SHARE + lane;
    for (var i = 0u; i < SHARE; i++) {
        let at = first + i * WORKGROUP;
        if at < params.count {
            let g = load_gradient(at);
            sum += lanes_sum(g * g);
        }
    }
    store_partials(params.first_partial + row * WORKGROUP + lane, sum);
}
