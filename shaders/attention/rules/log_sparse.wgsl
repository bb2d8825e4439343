// Keys before the query: the last `local`, and those at powers of two from the last of them, over again after each `restart`.
fn log_sparse_sees(distance: vec4<i32>, local: i32, restart: i32) -> vec4<bool> {
    let beyond = distance % vec4(restart) - vec4(local - 1);
    let is_power = (beyond & (beyond - vec4(1))) == vec4(0);
    return (distance >= vec4(0)) & ((beyond <= vec4(0)) | is_power);
}

fn log_sparse_meets(distances: vec2<i32>, local: i32, restart: i32) -> vec2<bool> {
    if distances.y < 0 {
        return vec2(false);
    }
    let least = max(distances.x, 0);
    let first = least % restart;
    let last = first + distances.y - least;
    if last >= restart {
        // The first distance after a restart is among them.
        return vec2(true, false);
    }
    // The largest power of two that is not beyond the last distance.
    let beyond = max(last - (local - 1), 0);
    let power = 1i << (31u - countLeadingZeros(u32(max(beyond, 1))));
    let some = first < local || (beyond > 0 && power >= first - (local - 1));
    // The first two powers of two follow on one another.
    return vec2(some, distances.x >= 0 && last <= local + 1);
}
