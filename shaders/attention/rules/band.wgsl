// Keys from `left` before the one opposite the query to `right` after it.
fn band_sees(distance: vec4<i32>, left: i32, right: i32) -> vec4<bool> {
    return (distance <= vec4(left)) & (distance >= vec4(-right));
}

fn band_meets(distances: vec2<i32>, left: i32, right: i32) -> vec2<bool> {
    return vec2(
        distances.x <= left && distances.y >= -right,
        distances.y <= left && distances.x >= -right,
    );
}
