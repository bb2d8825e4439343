// result[token] = the sum of one row of each part, by the token's ids. A part is a range of one table's rows, and adds nothing
// to tokens whose row lies elsewhere. A pack is one element or a vector of four; `Lanes` is the same in f32.

struct Params {
    // Of each of up to three parts; a part that is not there has no rows.
    first_rows: vec4<u32>,
    rows: vec4<u32>,
    // In packs.
    width: u32,
    count: u32,
    workgroups: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> result: array<Pack>;
@group(0) @binding(2) var<storage, read> table_0: array<Pack>;
// Negative ids are large ones here, beyond every table.
@group(0) @binding(3) var<storage, read> ids_0: array<u32>;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let group = id.x + id.y * grid.x;
    let i = group * WORKGROUP + lane;
    // The grid may hold groups without work, whose elements would not even fit 32 bits.
    if group >= params.workgroups || i >= params.count {
        return;
    }
    let token = i / params.width;
    let column = i - token * params.width;
    // An id before a part's first row wraps to beyond its last.
    let rows = vec3(ids_0[token], id_1(token), id_2(token)) - params.first_rows.xyz;
    let hits = rows < params.rows.xyz;
    var sum = Lanes(0.0);
    if ADDS {
        if !any(hits) {
            return;
        }
        sum = Lanes(result[i]);
    }
    let packs = rows * params.width + column;
    if hits.x {
        sum += Lanes(table_0[packs.x]);
    }
    if hits.y {
        sum += pack_1(packs.y);
    }
    if hits.z {
        sum += pack_2(packs.z);
    }
    result[i] = Pack(sum);
}
