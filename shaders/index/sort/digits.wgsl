// A stable sort of the rows of x by keys below 2^32, one digit a pass, the least significant first (Satish, Harris and Garland 2009, section
// 4). Rows are cut into chunks, each handled in order by one invocation: it counts the digits of its chunk; an exclusive scan over
// [row][digit][chunk] tells where each chunk's items of each digit go; and it takes them there.

const DIGITS: u32 = 1u << DIGIT_BITS;

fn digit_of(key: u32) -> u32 {
    return (key >> params.shift) % DIGITS;
}

// The elements of a chunk: from x to below y; z is the first of its row.
fn elements_of(row: u32, chunk: u32) -> vec3<u32> {
    let first_of_row = row * params.length;
    let first = chunk * params.chunk;
    return first_of_row + vec3(first, min(first + params.chunk, params.length), 0u);
}

// Where the count of a chunk's first digit lies; those of the others follow at a distance of `params.chunks`.
fn first_count_of(row: u32, chunk: u32) -> u32 {
    return row * DIGITS * params.chunks + chunk;
}
