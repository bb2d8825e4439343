// Negative ids are large ones here, beyond every row.
@group(0) @binding(4) var<storage, read> own_ids: array<u32>;

fn segment_of(position: u32) -> u32 {
    return own_ids[position];
}
