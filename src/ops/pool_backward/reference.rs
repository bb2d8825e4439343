//! The CPU reference. Ids are compared for equality, which among ids that never decrease is a run.

use super::{Kind, Pool};
use crate::tensor::{Array, Real, Shape};

/// For inputs upstream, lengths or ids where the spec has them, and x where the largest is sought.
pub(super) fn backward<R: Real>(inputs: &[&Array<R>], spec: &Pool, shape: &Shape) -> Array<R> {
    let (upstream, last) = (inputs[0].reals(), inputs[inputs.len() - 1].reals());
    let [batch, time, width] = [0, 1, 2].map(|axis| shape.dims()[axis]);
    let segments = spec.segments.map_or(1, |(_, count)| count);
    let counts = |b: usize, s: usize, t: usize| match (spec.lengths, spec.segments) {
        (Some(_), _) => (t as i64) < inputs[1].indices()[b],
        (None, Some(_)) => inputs[1].indices()[b * time + t] == s as i64,
        (None, None) => true,
    };
    let mut dx = vec![R::zero(); shape.elements()];
    for (b, s) in (0..batch).flat_map(|b| (0..segments).map(move |s| (b, s))) {
        let positions: Vec<usize> = (0..time).filter(|&t| counts(b, s, t)).collect();
        let Some(&first) = positions.first() else { continue };
        for c in 0..width {
            let g = upstream[(b * segments + s) * width + c];
            let at = |t: usize| (b * time + t) * width + c;
            match spec.kind {
                Kind::Mean => positions.iter().for_each(|&t| dx[at(t)] = g / R::of(positions.len() as f64)),
                Kind::First => dx[at(first)] = g,
                Kind::Max => {
                    let larger =
                        |best: usize, &t: &usize| if last[at(t)] > last[at(best)] { t } else { best };
                    dx[at(positions.iter().fold(first, larger))] = g;
                }
            }
        }
    }
    Array::real(shape.clone(), dx)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Graph, Op};
    use crate::ops::differences::{assert_gradient, dot, random};
    use crate::ops::pool::PoolOp;
    use crate::tensor::TensorDesc;

    #[test]
    fn is_the_slope_of_the_pooled() {
        let mut graph = Graph::new();
        let value = graph.input("any", TensorDesc::i32([1])).unwrap();
        let (x, shape) = (random([2, 5, 3], 1), Shape::from([2, 5, 3]));
        let lengths = Array::index([2], vec![3, 0]);
        let ids = Array::index([2, 5], vec![-1, 0, 0, 2, 2, 1, 1, 1, 1, 3]);
        for spec in [Pool::mean(), Pool::max(), Pool::first()] {
            let settings =
                [(spec, None), (spec.lengths(value), Some(&lengths)), (spec.segments(value, 3), Some(&ids))];
            for (spec, places) in settings {
                let forward = |x: &Array<f64>| {
                    let inputs: Vec<&Array<f64>> = [x].into_iter().chain(places).collect();
                    PoolOp(spec).reference(&inputs).remove(0)
                };
                let g = random(forward(&x).shape().clone(), 2);
                let inputs: Vec<&Array<f64>> = [&g].into_iter().chain(places).chain([&x]).collect();
                assert_gradient(&backward(&inputs, &spec, &shape), &x, |x| dot(&forward(x), &g));
            }
        }
    }
}
