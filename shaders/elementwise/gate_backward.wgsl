// dz of y = f(activated) * other, where a row of z is both factors one behind the other: an invocation makes both.
fn element(i: u32) {
    let first = i / params.width * params.width + i; // 2 * width packs a row
    let activated = load_z(first + params.activated);
    let other = load_z(first + params.other);
    let dy = load_upstream(i);
    store_dz(first + params.activated, dy * other * activation_slope(activated));
    store_dz(first + params.other, dy * activate(activated));
}
