// Four elements of B as they are stored.
fn b_wide(x: BPack) -> vec4<f32> {
    return vec4<f32>(x);
}
