// The first keys, as many as `count`.
fn prefix_sees(key: vec4<i32>, count: i32) -> vec4<bool> {
    return key < vec4(count);
}

fn prefix_meets(rect: Rect, count: i32) -> vec2<bool> {
    return vec2(rect.first_key < count, rect.last_key < count);
}
