fn element(i: u32) {
    store_result(i, apply(load_x(i), vec2(params.first, params.second)));
}
