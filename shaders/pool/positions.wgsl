// From the first position that a row pools to behind its last one: all of them, as many as the item has, or the run of a segment.
fn positions_of(item: u32, segment: u32, time: u32) -> vec2<u32> {
    if IN_SEGMENTS {
        let id = i32(segment);
        return vec2(first_from(item * time, id, time), first_from(item * time, id + 1, time));
    }
    if HAS_LENGTHS {
        return vec2(0u, min(u32(max(load_bounds(item), 0)), time));
    }
    return vec2(0u, time);
}

// The first of an item's positions with an id of at least `id`, among ids that never decrease. Among others too, each search halves
// what is left and stays within the item.
fn first_from(ids: u32, id: i32, time: u32) -> u32 {
    var low = 0u;
    var high = time;
    while low < high {
        let middle = low + (high - low) / 2u;
        if load_bounds(ids + middle) < id {
            low = middle + 1u;
        } else {
            high = middle;
        }
    }
    return low;
}
