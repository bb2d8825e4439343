// sum + a b, one channel.
fn add_product(sum: f32, a: f32, b: f32) -> f32 {
    return fma(a, b, sum);
}
