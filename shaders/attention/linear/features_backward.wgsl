// Gradients through a feature map.
fn element(i: u32) {
    store_dx(i, slope(load_x(i)) * load_upstream(i));
}
