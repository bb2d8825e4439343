// Tensors of integers as words.
fn word_of(x: Element) -> u32 {
    return bitcast<u32>(x);
}
