fn element(i: u32) {
    store_dx(i, load_upstream(i) * slope(load_x(i), vec2(params.first, params.second)));
}
