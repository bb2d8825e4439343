// sign(x) max(|x| - threshold, 0)
fn element(i: u32) {
    let x = load_x(i);
    store_result(i, sign(x) * max(abs(x) - params.threshold, Lanes()));
}
