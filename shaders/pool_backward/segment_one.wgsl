fn segment_of(position: u32) -> u32 {
    return 0u;
}
