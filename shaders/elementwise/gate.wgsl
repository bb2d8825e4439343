// y = f(activated) * other, where a row of z is both factors one behind the other.
fn element(i: u32) {
    let first = i / params.width * params.width + i; // 2 * width packs a row
    store_result(i, activate(load_z(first + params.activated)) * load_z(first + params.other));
}
