// A stable sort of `count` items by keys below 2^32, one digit of 4 bits a pass (least significant digit first; Satish, Harris and
// Garland 2009, section 4). The items are cut into chunks of CHUNK, each handled in order by one invocation: it counts the digits
// of its chunk, an exclusive scan over [digit][chunk] tells where each chunk's items of each digit go, and it takes them there.

const DIGITS: u32 = 16u;

struct Params {
    count: u32,
    chunks: u32,
    // How far right the pass's digit lies.
    shift: u32,
    // Keys from here on count as this one.
    most: u32,
    workgroups: u32,
}

@group(0) @binding(0) var<uniform> params: Params;

fn digit_of(key: u32) -> u32 {
    return (key >> params.shift) % DIGITS;
}
