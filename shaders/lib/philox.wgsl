// Random numbers as a function of a counter: Philox4x32-10 (Salmon, Moraes, Dror and Shaw, SC 2011, section 3.3). Four numbers,
// uniform over all of u32 and independent of those of any other counter or key.
const PHILOX_ROUNDS: u32 = 10u;

fn philox(counter: vec4<u32>, key: vec2<u32>) -> vec4<u32> {
    var c = counter;
    var k = key;
    for (var i = 0u; i < PHILOX_ROUNDS; i++) {
        let first = wide_product(0xD2511F53u, c.x);
        let second = wide_product(0xCD9E8D57u, c.z);
        c = vec4(second.y ^ c.y ^ k.x, second.x, first.y ^ c.w ^ k.y, first.x);
        k += vec2(0x9E3779B9u, 0xBB67AE85u);
    }
    return c;
}

// The low and the high word of a product, by halves, because WGSL has no 64-bit integers. No sum exceeds 2^32 - 1.
fn wide_product(a: u32, b: u32) -> vec2<u32> {
    let a_low = a & 0xFFFFu;
    let a_high = a >> 16u;
    let b_low = b & 0xFFFFu;
    let b_high = b >> 16u;
    let middle = a_high * b_low + ((a_low * b_low) >> 16u);
    let carry = a_low * b_high + (middle & 0xFFFFu);
    return vec2(a * b, a_high * b_high + (middle >> 16u) + (carry >> 16u));
}
