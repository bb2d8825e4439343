// Where the sequences of packed tokens begin and end: for each token the first token with its id, and the first behind those.
// One invocation per token. Ids never decrease along time; where they do, what is found still holds the token itself and lies
// within its batch item.
struct Params {
    start: u32,
    time: u32,
    tokens: u32,  // batch * time
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> ids: array<i32>;  // [batch, time]

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let token = (group.x + group.y * groups.x) * LANES + lane;
    if token >= params.tokens {
        return;
    }
    let own = ids[token];
    let item = token - token % params.time;

    var first = item;
    var same = token;  // known to have the id
    while first < same {
        let middle = first + (same - first) / 2u;
        if ids[middle] < own {
            first = middle + 1u;
        } else {
            same = middle;
        }
    }
    var end = token + 1u;
    var behind = item + params.time;  // known not to have it, or behind the item
    while end < behind {
        let middle = end + (behind - end) / 2u;
        if ids[middle] > own {
            behind = middle;
        } else {
            end = middle + 1u;
        }
    }
    aux_buffer[params.start + 2u * token] = first - item;
    aux_buffer[params.start + 2u * token + 1u] = end - item;
}
