// The place of an item that a tap reads for a place of the result, or -1 where it reads none, along time.
fn read_by(item: u32, place: u32, tap: u32) -> i32 {
    let number = i32(place) * i32(params.step_across) + i32(tap) * i32(params.tap_across) + i32(params.first_across);
    let read = along(number, params.up_across, params.from_across);
    if IN_SEGMENTS {
        let first = item * params.from_across;
        let meets = load_segments(first + place) == load_segments(first + u32(max(read, 0)));
        return select(-1, read, meets);
    }
    return read;
}
