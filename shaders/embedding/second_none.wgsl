// A part without rows has no id.
fn id_1(token: u32) -> u32 {
    return 0u;
}

fn pack_1(index: u32) -> Lanes {
    return Lanes(0.0);
}
