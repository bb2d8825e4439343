// Blocks at the end of `inner` and past it, padded with zeros.
fn a_tail(base: u32, row: u32, k: u32) -> mat4x4<f32> {
    let last = params.inner - 1u;
    return transpose(mat4x4<f32>(
        select(vec4<f32>(), a_column(base, row, min(k, last)), k <= last),
        select(vec4<f32>(), a_column(base, row, min(k + 1u, last)), k + 1u <= last),
        select(vec4<f32>(), a_column(base, row, min(k + 2u, last)), k + 2u <= last),
        select(vec4<f32>(), a_column(base, row, min(k + 3u, last)), k + 3u <= last),
    ));
}

fn b_tail(base: u32, k: u32, col: u32) -> mat4x4<f32> {
    let last = params.inner - 1u;
    return mat4x4<f32>(
        select(vec4<f32>(), b_row(base, min(k, last), col), k <= last),
        select(vec4<f32>(), b_row(base, min(k + 1u, last), col), k + 1u <= last),
        select(vec4<f32>(), b_row(base, min(k + 2u, last), col), k + 2u <= last),
        select(vec4<f32>(), b_row(base, min(k + 3u, last), col), k + 3u <= last),
    );
}
