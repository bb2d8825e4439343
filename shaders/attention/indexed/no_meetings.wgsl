// Pairs count as often as they meet.
fn meetings(batch: u32, head: u32, query: vec4<i32>, key: vec4<i32>) -> vec4<f32> {
    return vec4(1.0);
}
