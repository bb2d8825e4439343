//! The CPU reference.

use crate::tensor::{Array, Real};

pub(super) fn backward<R: Real>(ids: &Array<R>, upstream: &Array<R>, rows: usize) -> Array<R> {
    let width = upstream.dims()[upstream.dims().len() - 1];
    let mut d_table = vec![R::zero(); rows * width];
    for (&id, dy) in ids.indices().iter().zip(upstream.reals().chunks(width)) {
        let row = usize::try_from(id).ok().filter(|&id| id < rows);
        let row = row.map_or(&mut [][..], |row| &mut d_table[row * width..][..width]);
        for (d, &dy) in row.iter_mut().zip(dy) {
            *d += dy;
        }
    }
    Array::real([rows, width], d_table)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Op;
    use crate::ops::differences::{assert_gradient, dot, random};
    use crate::ops::embedding::Embedding;

    #[test]
    fn is_the_slope_of_the_lookup() {
        let ids = Array::index([2, 4], vec![2, 0, -1, 2, 5, 4, 2, 0]);
        let (table, dy) = (random([5, 3], 1), random([2, 4, 3], 2));
        let d = backward(&ids, &dy, 5);
        assert_gradient(&d, &table, |table| dot(&Embedding.reference(&[table, &ids])[0], &dy));
    }
}
