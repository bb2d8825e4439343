//! Random features: how projections are drawn, that errors fall as more features or orthogonal ones promise, and what stabilisers let queries
//! know of later keys.

use foveate::check::Random;
use foveate::ops::attention::{
    Denominator, FeatureMap, FeaturesOf, LinearAttention, RandomProjection, RowNorms, SoftmaxKernel,
    Stabilizer, linear_attention, softmax_kernel_features,
};
use foveate::{DType, ErrorKind, Graph, HostTensor, TensorDesc};

use crate::support::{assert_error, run};

const SIZE: usize = 16;
const TIME: usize = 40;

fn rows(projection: &RandomProjection) -> Vec<Vec<f64>> {
    let tensor = projection.tensor(DType::F32).unwrap();
    assert_eq!(tensor.shape().dims(), [projection.count, projection.size]);
    tensor.to_f64().chunks(projection.size).map(<[f64]>::to_vec).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[test]
fn rows_are_orthogonal_within_blocks_and_a_draw_is_reproducible() {
    let projection = RandomProjection::new(40, SIZE).seed(7);
    let drawn = rows(&projection);
    for (i, a) in drawn.iter().enumerate() {
        for (j, b) in drawn[..i].iter().enumerate() {
            let cosine = dot(a, b) / (dot(a, a) * dot(b, b)).sqrt();
            assert_eq!(cosine.abs() < 1e-6, i / SIZE == j / SIZE, "rows {i} and {j}: {cosine}");
        }
    }
    assert_eq!(drawn, rows(&projection));
    let first = projection.tensor(DType::F32).unwrap();
    for other in [projection.draw(1), projection.stream(1), projection.seed(8), projection.independent()] {
        assert_ne!(other.tensor(DType::F32).unwrap().bytes(), first.bytes(), "{other:?}");
    }
    for row in rows(&projection.norms(RowNorms::RootOfSize)) {
        assert!((dot(&row, &row) - SIZE as f64).abs() < 1e-4);
    }
    // Squares of normal rows add up to their size on average, and differ.
    let many = rows(&RandomProjection::new(4000, SIZE));
    let squares: Vec<f64> = many.iter().map(|row| dot(row, row)).collect();
    let mean = squares.iter().sum::<f64>() / squares.len() as f64;
    let variance = squares.iter().map(|square| (square - mean).powi(2)).sum::<f64>() / squares.len() as f64;
    assert!((mean - SIZE as f64).abs() < 0.5, "{mean}");
    assert!((variance - 2.0 * SIZE as f64).abs() < 4.0, "{variance}");
}

#[test]
fn projections_without_rows_are_refused() {
    for (count, size, argument) in
        [(0, 16, "projection's count"), (16, 0, "projection's size"), (1 << 17, 4, "projection's count")]
    {
        let error = RandomProjection::new(count, size).tensor(DType::F32).unwrap_err();
        assert_error(&error, ErrorKind::Argument, &format!("attention/linear: {argument}"));
    }
}

/// The root of the mean square error of `exp(x . y)`, estimated with features, over pairs and draws, relative to the kernel.
fn error_of(projection: RandomProjection) -> f64 {
    let mut random = Random::new(3);
    let pairs: Vec<[Vec<f64>; 2]> = (0..8)
        .map(|_| [(); 2].map(|()| (0..SIZE).map(|_| 0.2 * f64::from(random.next_normal())).collect()))
        .collect();
    let draws = 300;
    let mut total = 0.0;
    for draw in 0..draws {
        let drawn = rows(&projection.draw(draw));
        for [x, y] in &pairs {
            let half = 0.5 * (dot(x, x) + dot(y, y));
            let features = drawn.iter().map(|w| (dot(w, x) + dot(w, y) - half).exp());
            let estimate = features.sum::<f64>() / drawn.len() as f64;
            total += (estimate / dot(x, y).exp() - 1.0).powi(2);
        }
    }
    (total / (f64::from(draws) * pairs.len() as f64)).sqrt()
}

#[test]
fn errors_fall_with_the_root_of_the_features_and_orthogonal_rows_have_smaller_ones() {
    let of = |count| RandomProjection::new(count, SIZE);
    let errors = [16, 64, 256].map(|count| error_of(of(count)));
    for pair in errors.windows(2) {
        let ratio = pair[0] / pair[1];
        assert!((1.7..2.3).contains(&ratio), "four times the features: errors {errors:?}");
    }
    for (count, error) in [16, 64, 256].into_iter().zip(errors) {
        let independent = error_of(of(count).independent());
        assert!(error < independent, "{count} features: {error} and {independent}");
    }
}

/// `out` of causal attention with features of `kernel`.
fn attended(tensors: &[(&str, HostTensor)], kernel: SoftmaxKernel) -> Vec<f32> {
    let mut graph = Graph::new();
    let [q, k, v] =
        ["q", "k", "v"].map(|name| graph.input(name, TensorDesc::f32([1, TIME, 2, SIZE])).unwrap());
    let projection = RandomProjection::new(32, SIZE).constant(&mut graph, DType::F32).unwrap();
    let x = softmax_kernel_features(&mut graph, q, projection, FeaturesOf::Queries, &kernel).unwrap();
    let y = softmax_kernel_features(&mut graph, k, projection, FeaturesOf::Keys, &kernel).unwrap();
    let spec = LinearAttention::new().causal().feature_map(FeatureMap::Given);
    let spec = spec.denominator(Denominator::Plus(0.0));
    let out = linear_attention(&mut graph, x, y, v, &spec).unwrap();
    graph.output("out", out).unwrap();
    let inputs: Vec<(&str, &HostTensor)> = tensors.iter().map(|(name, tensor)| (*name, tensor)).collect();
    run(&graph, &inputs).remove("out").unwrap().to_f32()
}

#[test]
fn later_keys_change_nothing_before_them_but_by_the_published_stabiliser() {
    let mut random = Random::new(5);
    let mut tensor = || {
        let elements = (0..TIME * 2 * SIZE).map(|_| random.next_f32()).collect();
        HostTensor::f32([1, TIME, 2, SIZE], elements).unwrap()
    };
    let tensors = [("q", tensor()), ("k", tensor()), ("v", tensor())];
    let mut changed = tensors.clone();
    let kept = 25 * 2 * SIZE;
    let mut keys = changed[1].1.to_f32();
    keys[kept..].iter_mut().for_each(|x| *x *= 5.0);
    changed[1].1 = HostTensor::f32([1, TIME, 2, SIZE], keys).unwrap();
    let largest_change = |kernel: SoftmaxKernel| {
        let (before, after) = (attended(&tensors, kernel), attended(&changed, kernel));
        assert_ne!(before[kept..], after[kept..]);
        let pairs = before[..kept].iter().zip(&after[..kept]);
        pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    };
    let published = SoftmaxKernel::new().eps(1e-4);
    assert_eq!(largest_change(published.stabilizer(Stabilizer::Projection)), 0.0);
    assert_eq!(largest_change(SoftmaxKernel::new().stabilizer(Stabilizer::Projection)), 0.0);
    assert!(largest_change(SoftmaxKernel::new()) < 1e-5, "without an eps it cancels, to rounding");
    assert!(largest_change(published) > 1e-4, "the published code's knows later keys");
}

/// A key along a row of the projection, of the length that has the largest exponent: no feature is above the bound, and the longest row's reaches it.
#[test]
fn the_stabiliser_that_knows_no_keys_bounds_all_exponents() {
    const COUNT: usize = 32;
    let projection = RandomProjection::new(COUNT, SIZE).seed(9).tensor(DType::F32).unwrap();
    let factor = (SIZE as f32).powf(0.25);
    let keys = projection.to_f32().into_iter().map(|x| factor * x).collect();
    let keys = HostTensor::f32([1, COUNT, 1, SIZE], keys).unwrap();
    let mut graph = Graph::new();
    let x = graph.input("x", keys.desc()).unwrap();
    let w = graph.input("w", projection.desc()).unwrap();
    let kernel = SoftmaxKernel::new().stabilizer(Stabilizer::Projection);
    let features = softmax_kernel_features(&mut graph, x, w, FeaturesOf::Keys, &kernel).unwrap();
    graph.output("features", features).unwrap();
    let features = run(&graph, &[("x", &keys), ("w", &projection)]).remove("features").unwrap().to_f32();
    let largest = features.into_iter().fold(0.0, f32::max) * (COUNT as f32).sqrt();
    assert!((largest - 1.0).abs() < 1e-4, "{largest}");
}
