// What `table: [slots, heads]` gives each head at each distance, where `slots: [distances]` has the slot of each: aux_buffer[head, distance]
// = table[slots[distance], head].
fn element(i: u32) {
    let slot = u32(load_slots(i % params.distances));
    // Slots are the crate's own, but whoever replays a step may put others into their place.
    let at = min(slot * params.heads + i / params.distances, arrayLength(&table) - 1u);
    store_aux_buffer(params.start + i, bitcast<u32>(load_table(at)));
}
