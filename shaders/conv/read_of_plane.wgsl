// The place of an item that a tap reads for a place of the result, or -1 where it reads none, in a plane whose rows lie behind one another.
fn read_by(item: u32, place: u32, tap: u32) -> i32 {
    let row = place / params.to_across;
    let column = place - row * params.to_across;
    let tap_down = tap / KERNEL_ACROSS;
    let tap_across = tap - tap_down * KERNEL_ACROSS;
    let down = i32(row) * i32(params.step_down) + i32(tap_down) * i32(params.tap_down) + i32(params.first_down);
    let across =
        i32(column) * i32(params.step_across) + i32(tap_across) * i32(params.tap_across) + i32(params.first_across);
    let read_row = along(down, params.up_down, params.from_down);
    let read_column = along(across, params.up_across, params.from_across);
    return select(-1, read_row * i32(params.from_across) + read_column, read_row >= 0 && read_column >= 0);
}
