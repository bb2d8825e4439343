// Parameters of the dispatch that makes block lists: those of the attention kernels that rules read, and its own.
struct Params {
    sections: array<vec4<u32>, 4>,
    query_time: u32,
    key_time: u32,
    heads: u32,
    kv_heads: u32,
    row_tiles: u32,
    list_capacity: u32,
    tile_columns: u32,
    count: u32,  // lists
}

@group(0) @binding(0) var<uniform> params: Params;
