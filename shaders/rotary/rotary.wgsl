// result[position, head] = x[position, head], each pair of channels turned by its angle at the position: channel * cos + partner * sin. One
// invocation a position and pack of channels, for all heads, which share the angle.
fn element(i: u32) {
    let pack = i % params.width;
    let position = i / params.width;
    var at = position * params.heads * params.width + pack;
    if pack >= params.rotated {
        for (var head = 0u; head < params.heads; head++) {
            store_result(at, load_x(at));
            at += params.width;
        }
        return;
    }
    // Which of the pair the pack is. The sign of the sine is in the table.
    let is_first = pack % (2u * params.reach) < params.reach;
    let partner = select(0u - params.reach, params.reach, is_first);
    let turn = turn_at(place_of(position), load_turns(pack), load_turns(params.rotated + pack));
    let cosine = cosine_of(turn);
    let sine = sine_of(turn);
    for (var head = 0u; head < params.heads; head++) {
        let x = load_x(at);
        var other = swapped(x);
        if params.reach > 0u {
            other = load_x(at + partner);
        }
        store_result(at, x * cosine + other * sine);
        at += params.width;
    }
}

fn place_of(position: u32) -> i32 {
    if HAS_POSITIONS {
        return load_positions(position);
    }
    return params.offset + i32(position % params.time);
}
