@group(0) @binding(6) var<storage, read> table_2: array<Pack>;
@group(0) @binding(7) var<storage, read> ids_2: array<u32>;

fn id_2(token: u32) -> u32 {
    return ids_2[token];
}

fn pack_2(index: u32) -> Lanes {
    return Lanes(table_2[index]);
}
