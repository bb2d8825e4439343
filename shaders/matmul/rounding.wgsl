fn element(i: u32) {
    store_c(i, load_sums(i));
}
