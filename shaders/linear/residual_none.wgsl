fn residual_at(at: u32) -> CLanes {
    return CLanes();
}
