// What frame.wgsl reads of the time `i % key_time` of a batch item: where its sequence begins and ends in its chunk. Neighbours of equal id
// are of one sequence. The first sequence goes on before the first time, and the last behind the last one.
const GOES_ON: u32 = 0x80000000u;

fn element(i: u32) {
    let time = i % params.key_time;
    let item = i - time;
    let id = load_segments(i);
    let chunk_first = time / params.chunk * params.chunk;
    let chunk_end = min(chunk_first + params.chunk, params.key_time);
    var first = time;
    while first > chunk_first && load_segments(item + first - 1u) == id {
        first--;
    }
    var end = time + 1u;
    while end < chunk_end && load_segments(item + end) == id {
        end++;
    }
    var bounds = vec2(first, end);
    if first == chunk_first && (first == 0u || load_segments(item + max(first, 1u) - 1u) == id) {
        bounds.x |= GOES_ON;
    }
    if end == chunk_end && (end == params.key_time || load_segments(item + min(end, params.key_time - 1u)) == id) {
        bounds.y |= GOES_ON;
    }
    let at = params.bounds + 2u * i;
    store_aux(at, bounds.x);
    store_aux(at + 1u, bounds.y);
}
