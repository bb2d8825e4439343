fn bias_at(col: u32) -> vec4<f32> {
    return vec4<f32>();
}
