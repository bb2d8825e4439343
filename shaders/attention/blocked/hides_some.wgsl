// Whether a tile of keys that ends before `end` has keys that some row must not see. Segments are those of the queries.
fn hides_some(start: i32, first_query: i32, last_query: i32, first_segment: vec2<i32>, last_segment: vec2<i32>) -> bool {
    var hides = false;
    if BAND {
        hides = start < last_query + params.shift - params.band_left
            || start + i32(TILE_K) - 1 > first_query + params.shift + params.band_right;
    }
    if SEGMENTS {
        hides = hides || start < last_segment.x || start + i32(TILE_K) > first_segment.y;
    }
    return hides;
}
