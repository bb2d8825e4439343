// Words of the auxiliary buffer.
fn section(number: u32) -> u32 {
    return params.sections[number / 4u][number % 4u];
}

fn integer(at: u32) -> i32 {
    return bitcast<i32>(aux_buffer[at]);
}

fn integers(at: vec4<u32>) -> vec4<i32> {
    return bitcast<vec4<i32>>(vec4(aux_buffer[at.x], aux_buffer[at.y], aux_buffer[at.z], aux_buffer[at.w]));
}

fn real(at: u32) -> f32 {
    return bitcast<f32>(aux_buffer[at]);
}

fn reals(at: vec4<u32>) -> vec4<f32> {
    return bitcast<vec4<f32>>(vec4(aux_buffer[at.x], aux_buffer[at.y], aux_buffer[at.z], aux_buffer[at.w]));
}
