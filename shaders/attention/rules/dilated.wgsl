// Every `step`-th key from the one opposite the query on, `left` steps before it and `right` after it.
fn dilated_sees(distance: vec4<i32>, step: vec4<i32>, left: i32, right: i32) -> vec4<bool> {
    // Steps are counted, not distances: their product could leave an i32.
    let steps = distance / step;
    return (steps * step == distance) & (steps <= vec4(left)) & (steps >= vec4(-right));
}

fn dilated_meets(distances: vec2<i32>, step: i32, left: i32, right: i32) -> vec2<bool> {
    // The steps within the distances, from ceil to floor.
    let last = distances.y / step - i32(distances.y % step < 0);
    let first = distances.x / step + i32(distances.x % step > 0);
    let some = max(first, -right) <= min(last, left);
    let whole = step == 1 || (distances.x == distances.y && first == last);
    return vec2(some, whole && first >= -right && last <= left);
}
