fn element(i: u32) {
    let item = i / params.positions;
    let position = i - item * params.positions;
    let length = min(u32(max(load_lengths(item), 0)), params.positions);
    if position >= length {
        store_ids(i, i32(params.parts));
        return;
    }
    if length <= params.parts {
        store_ids(i, i32(position));
        return;
    }
    // The first parts have `size` positions, the others one more.
    let size = length / params.parts;
    let shorter = (size + 1u) * params.parts - length;
    let longer_from = shorter * size;
    if position < longer_from {
        store_ids(i, i32(position / size));
        return;
    }
    store_ids(i, i32(shorter + (position - longer_from) / (size + 1u)));
}
