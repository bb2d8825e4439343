fn element(i: u32) {
    store_result(i, Lanes(params.value));
}
