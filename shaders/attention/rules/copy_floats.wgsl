// Tensors of floats as words of f32.
fn word_of(x: Element) -> u32 {
    return bitcast<u32>(f32(x));
}
