// Whatever buckets positions are in.
fn bucket_of(batch: u32, head: u32, round: u32, position: i32) -> i32 {
    return 0;
}

fn in_same_bucket(batch: u32, head: u32, query: vec4<i32>, key: vec4<i32>, columns: vec4<u32>) -> vec4<bool> {
    return vec4(true);
}
