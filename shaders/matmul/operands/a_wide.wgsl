// Four elements of A as they are stored.
fn a_wide(x: APack) -> vec4<f32> {
    return vec4<f32>(x);
}
