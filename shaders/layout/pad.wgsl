// Each line of the result is a line of x from `start` on, and zeros elsewhere; lengths in packs.
fn element(i: u32) {
    // Before the start this wraps to beyond any line.
    let place = i % params.line - params.start;
    if place < params.x_line {
        store_result(i, load_x(i / params.line * params.x_line + place));
    } else {
        store_result(i, zero_x());
    }
}
