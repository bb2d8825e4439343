// Adaptive span: a weight falls to 0 over `ramp` keys beyond the span, behind which nothing is seen.
fn span_ramp(distance: vec4<i32>, span: vec4<f32>, ramp: f32) -> vec4<f32> {
    return clamp((vec4(ramp) + span - vec4<f32>(distance)) / vec4(ramp), vec4(0.0), vec4(1.0));
}

fn span_sees(distance: vec4<i32>, span: vec4<f32>, ramp: f32) -> vec4<bool> {
    return span_ramp(distance, span, ramp) > vec4(0.0);
}

fn span_meets(distances: vec2<i32>, span: f32, ramp: f32) -> vec2<bool> {
    let seen = span_sees(vec4(distances, 0, 0), vec4(span), ramp);
    return seen.xy;
}
