// The keys of every period from `first` on.
fn columns_sees(key: vec4<i32>, period: i32, first: i32) -> vec4<bool> {
    return key % vec4(period) >= vec4(first);
}

fn columns_meets(rect: Rect, period: i32, first: i32) -> vec2<bool> {
    let start = rect.first_key % period;
    let end = start + rect.last_key - rect.first_key;
    return vec2(end >= first, start >= first && end < period);
}
