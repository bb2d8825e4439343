fn element(i: u32) {
    store_total(i, load_total(i) + load_gradient(i));
}
