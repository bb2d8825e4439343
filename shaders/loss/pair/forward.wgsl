// partials[part] = sum of term(a, b) over CHUNK packs, by one workgroup each.
fn row(part: u32, lane: u32) {
    let first = part * CHUNK;
    let packs = min(params.packs - first, CHUNK);
    var terms = Lanes(0.0);
    for (var i = lane; i < packs; i += WORKGROUP) {
        terms += term(load_a(first + i), load_b(first + i));
    }
    let sum = row_sum(0u, lanes_sum(terms), lane);
    if lane == 0u {
        store_partials(part, sum);
    }
}
