// What the first pass of a sort finds: elements of x by their bits, as keys below 2^32 in the order of the elements. Floats: -0 equals 0,
// and NaN comes behind every number.

// The bit of the sign; 0 for unsigned integers.
const SIGN: u32 = SIGN_BIT;
// All bits of an element.
const ALL: u32 = select(0xffffffffu, 0xffffu, HALVES);
const INFINITY: u32 = select(0x7f800000u, 0x7c00u, HALVES);

fn bits_at(i: u32) -> u32 {
    if HALVES {
        return (load_x(i / 2u) >> (16u * (i % 2u))) & ALL;
    }
    return load_x(i);
}

fn ascending(bits: u32) -> u32 {
    if !FLOATS {
        return bits ^ SIGN;
    }
    let magnitude = bits & (ALL ^ SIGN);
    if magnitude > INFINITY {
        return ALL;
    }
    // Of negative numbers the larger magnitude is the smaller number.
    return SIGN + select(magnitude, 0u - magnitude, bits >= SIGN);
}

fn key_at(i: u32) -> u32 {
    var key = ascending(bits_at(i));
    if DESCENDING {
        key = ALL - key;
    }
    return min(key, params.most);
}

// Where an element was in its row before the sort.
fn position_at(i: u32, first_of_row: u32) -> u32 {
    return i - first_of_row;
}
