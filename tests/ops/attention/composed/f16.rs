//! Queries, keys, values and weights in f16: results that differ from f32's by rounding, also where sums and products leave f16's range.

use super::*;

#[test]
fn f16_differs_from_f32_by_rounding() {
    for (name, record) in ALL {
        let results = [DType::F32, DType::F16].map(|dtype| {
            let mut problem = Problem::new(dtype);
            // Both from numbers that f16 holds.
            let values =
                qkv(2).map(|tensor| problem.input(converted(&converted(&tensor, DType::F16), dtype)));
            let out = record(&mut problem, values, None).unwrap();
            assert_eq!(problem.graph.desc(out).unwrap().dtype, dtype, "{name}");
            problem.run(&[out]).remove(0)
        });
        let largest = results[0].iter().fold(0.0f32, |largest, x| largest.max(x.abs()));
        for (at, (expected, found)) in results[0].iter().zip(&results[1]).enumerate() {
            let is_near = (found - expected).abs() <= 4e-3 * largest;
            assert!(is_near, "{name}, element {at}: found {found}, expected {expected}");
        }
    }
}

/// Every query and key of `time` rows is `of_row` in all channels; values differ.
fn mean_of_values(time: usize, of_row: f32, record: impl Fn(&mut Problem, [Value; 3]) -> Result<Value>) {
    let mut problem = Problem::new(DType::F16);
    let row = HostTensor::f32([1, time, HEADS, SIZE], vec![of_row; time * HEADS * SIZE]).unwrap();
    let value = random(70, &[1, time, HEADS, SIZE]);
    let values = [&row, &row, &value].map(|tensor| problem.input(converted(tensor, DType::F16)));
    let out = record(&mut problem, values).unwrap();
    let found = problem.run(&[out]).remove(0);
    let value = value.to_f32();
    let width = HEADS * SIZE;
    for channel in 0..width {
        let mean = (0..time).map(|at| f64::from(value[at * width + channel])).sum::<f64>() / time as f64;
        let is_near = (f64::from(found[channel]) - mean).abs() < 2e-3;
        assert!(is_near, "channel {channel}: found {}, expected {mean}", found[channel]);
    }
}

fn one_cluster(problem: &mut Problem, [q, k, v]: [Value; 3], spec: &Clustered) -> Result<Value> {
    let time = problem.graph.desc(q)?.shape.dims()[1];
    let clusters = problem.input(HostTensor::i32([1, HEADS, time], vec![0; HEADS * time])?);
    clustered(&mut problem.graph, q, k, v, clusters, spec)
}

#[test]
fn sums_of_a_cluster_may_be_beyond_f16() {
    // 16 x 5000 = 80000
    mean_of_values(5000, 16.0, |problem, qkv| one_cluster(problem, qkv, &Clustered::new(1)));
}

#[test]
fn products_before_their_scale_may_be_beyond_f16() {
    // 92 x 92 x 8 channels = 67712
    mean_of_values(TIME, 92.0, |problem, qkv| one_cluster(problem, qkv, &Clustered::new(1).improved(4)));
    mean_of_values(TIME, 92.0, |problem, [q, k, v]| {
        let square = identity(&[HEADS, HEADS], |at| at / HEADS == at % HEADS);
        let mixing = problem.input(converted(&square, DType::F16));
        talking_heads(&mut problem.graph, q, k, v, [mixing; 2], &TalkingHeads::new().storing_scores())
    });
}
