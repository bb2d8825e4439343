// Four elements of B in f16, read as pairs: drivers load these as words, where they load vec4<f16> element by element.
fn b_wide(x: BPack) -> vec4<f32> {
    return vec4<f32>(unpack2x16float(x.x), unpack2x16float(x.y));
}
