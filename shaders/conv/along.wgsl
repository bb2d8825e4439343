// Where number / up is a whole number below `extent`, that; else -1.
fn along(number: i32, up: u32, extent: u32) -> i32 {
    if !IS_SPREAD {
        return select(-1, number, number >= 0 && number < i32(extent));
    }
    let place = number / i32(up);
    return select(-1, place, number >= 0 && place * i32(up) == number && place < i32(extent));
}
