// Looks for numbers that are not finite by their bits: WGSL lets a compiler assume that there are none. A workgroup looks at PART elements,
// of which a word holds PER_WORD.
const NONE = 0xffffffffu;
const LARGEST = 2u;

// Of each lane: the places of its first NaN and of its first infinity, and the bits of its largest finite magnitude.
var<workgroup> found: array<array<u32, WORKGROUP>, 3>;

fn workgroup_main(part: u32, lane: u32) {
    let start = part * PART;
    let end = start + min(PART, params.elements - start);
    var nan = NONE;
    var infinite = NONE;
    var largest = 0u;
    for (var word = start / PER_WORD + lane; word * PER_WORD < end; word += WORKGROUP) {
        let bits = load_x(word);
        for (var i = 0u; i < PER_WORD; i++) {
            let place = word * PER_WORD + i;
            let magnitude = (bits >> (16u * i)) & MAGNITUDE;
            if place >= end {
                continue;
            }
            if magnitude > INFINITY {
                nan = min(nan, params.before + place);
            } else if magnitude == INFINITY {
                infinite = min(infinite, params.before + place);
            } else {
                largest = max(largest, magnitude);
            }
        }
    }
    found[0][lane] = nan;
    found[1][lane] = infinite;
    found[LARGEST][lane] = largest;
    workgroupBarrier();
    if lane < 3u {
        var all = found[lane][0];
        for (var i = 1u; i < WORKGROUP; i++) {
            let other = found[lane][i];
            all = select(min(all, other), max(all, other), lane == LARGEST);
        }
        store_result(3u * (params.first_part + part) + lane, all);
    }
}
