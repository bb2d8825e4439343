fn of_lse(row: u32) -> f32 {
    return 0.0;
}
