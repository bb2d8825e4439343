@group(0) @binding(4) var<storage, read> bias: array<Elem>;

// Of four columns; those past the end repeat the last one.
fn bias_at(col: u32) -> vec4<f32> {
    let last = arrayLength(&bias) - 1u;
    return vec4<f32>(
        f32(bias[min(col, last)]),
        f32(bias[min(col + 1u, last)]),
        f32(bias[min(col + 2u, last)]),
        f32(bias[min(col + 3u, last)]),
    );
}
