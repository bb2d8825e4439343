// From the first position of each row to behind its last one.
@group(0) @binding(5) var<storage, read> runs: array<vec2<u32>>;

fn run_of(row: u32, item: u32) -> vec2<u32> {
    return runs[row];
}
