// Copies a tensor into the auxiliary buffer, an element a word: floats as f32.
fn element(i: u32) {
    store_aux_buffer(params.start + i, bitcast<u32>(load_tensor(i)));
}
