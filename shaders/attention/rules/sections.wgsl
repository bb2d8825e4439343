// Words of the side buffer.
fn section(number: u32) -> u32 {
    return params.sections[number / 4u][number % 4u];
}

fn integer(at: u32) -> i32 {
    return bitcast<i32>(side[at]);
}

fn integers(at: vec4<u32>) -> vec4<i32> {
    return bitcast<vec4<i32>>(vec4(side[at.x], side[at.y], side[at.z], side[at.w]));
}

fn real(at: u32) -> f32 {
    return bitcast<f32>(side[at]);
}

fn reals(at: vec4<u32>) -> vec4<f32> {
    return bitcast<vec4<f32>>(vec4(side[at.x], side[at.y], side[at.z], side[at.w]));
}
