// d_logits = (p - q) factor + p lse_upstream for p = softmax(logits) along rows of `width` packs; q is 1 at the row's target, smoothed.
// The factor is the upstream gradient over the number of targets that count.
fn row(row: u32, lane: u32) {
    let first = row * params.width;
    // Negative classes are large ones here, beyond every row.
    let label = load_targets(row);
    if label >= params.classes {
        for (var i = lane; i < params.width; i += WORKGROUP) {
            store_d_logits(first + i, Lanes(0.0));
        }
        return;
    }
    let everywhere = params.smoothing / f32(params.classes);
    for (var i = lane; i < params.width; i += WORKGROUP) {
        let p = weight(load_logits(first + i), load_lse(row));
        var d = p - everywhere;
        if i == label / LANES {
            d -= (1.0 - params.smoothing) * lanes_one_hot(label % LANES);
        }
        store_d_logits(first + i, d * load_factor(0u) + p * load_lse_upstream(row));
    }
}
