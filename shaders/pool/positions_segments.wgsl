@group(0) @binding(3) var<storage, read> ids: array<i32>;

// The run of `segment`, whose two ends are searched for in ids that never decrease. Among others too, each search halves what
// is left and stays within the item.
fn positions_of(item: u32, segment: u32) -> vec2<u32> {
    return vec2(first_from(item, i32(segment)), first_from(item, i32(segment) + 1));
}

// The first position with an id of at least `id`.
fn first_from(item: u32, id: i32) -> u32 {
    var low = 0u;
    var high = params.time;
    while low < high {
        let middle = low + (high - low) / 2u;
        if ids[item * params.time + middle] < id {
            low = middle + 1u;
        } else {
            high = middle;
        }
    }
    return low;
}
