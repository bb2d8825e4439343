// Features of queries or keys, in f32.
fn element(i: u32) {
    store_features(i, feature(load_x(i)));
}
