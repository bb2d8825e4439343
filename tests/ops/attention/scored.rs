//! Attention over keys that are given or score highest, and clusters of queries, beside what they are made of by hand. On the references.

use foveate::ops::attention::{
    Blocked, LloydClusters, Mask, Scored, attention_over, blocked, lloyd_clusters, top_k_attention,
};
use foveate::{DType, HostTensor, Value, ops};

use super::composed::{HEADS, Problem, SIZE, TIME, assert_near, qkv, random};

#[test]
fn given_keys_that_are_no_position_count_for_nothing() {
    let keys = |members: &[i32]| {
        let all = members.repeat(HEADS * TIME);
        HostTensor::i32([1, HEADS, TIME, members.len()], all).unwrap()
    };
    let mut problem = Problem::default();
    let [q, k, v] = qkv(1).map(|tensor| problem.input(tensor));
    let [two, more] =
        [&[3, 8][..], &[3, -1, 8, TIME as i32, i32::MAX]].map(|members| problem.input(keys(members)));
    let mut results = Vec::new();
    for keys in [two, more] {
        let (out, lse) = attention_over(&mut problem.graph, q, k, v, keys, None).unwrap();
        results.extend([out, lse]);
    }
    let results = problem.run(&results);
    assert_near("outputs", &results[2], &results[0]);
    assert_near("log-sum-exps", &results[3], &results[1]);
}

/// The last query stands opposite the last key, and queries before the first key see none.
#[test]
fn all_keys_of_other_lengths_than_queries_are_causal_attention() {
    for (queries, keys) in [(9, TIME), (TIME, 9)] {
        let mut problem = Problem::default();
        let [q, k, v] = qkv(2).map(|tensor| problem.input(tensor));
        let mut first = |x: Value, count| ops::slice(&mut problem.graph, x, 1, 0..count).unwrap();
        let (q, k, v) = (first(q, queries), first(k, keys), first(v, keys));
        let graph = &mut problem.graph;
        let found = top_k_attention(graph, q, k, v, keys, &Scored::new().causal()).unwrap().out;
        let expected = blocked(graph, q, k, v, &Blocked::new().mask(Mask::causal())).unwrap();
        let results = problem.run(&[found, expected]);
        assert_near(&format!("{queries} queries of {keys} keys"), &results[0], &results[1]);
    }
}

/// Signs of the products of a row with the planes that `spec` draws.
fn hash(row: &[f32], planes: &[f32]) -> Vec<i32> {
    let side = |plane: &[f32]| row.iter().zip(plane).map(|(x, y)| f64::from(x * y)).sum::<f64>();
    planes.chunks(SIZE).map(|plane| if side(plane) >= 0.0 { 1 } else { -1 }).collect()
}

fn majority(hashes: &[&Vec<i32>], bits: usize) -> Vec<i32> {
    let sign = |bit: usize| if hashes.iter().map(|hash| hash[bit]).sum::<i32>() >= 0 { 1 } else { -1 };
    (0..bits).map(sign).collect()
}

/// The first of the centers that share most bits.
fn nearest(hash: &[i32], centers: &[Vec<i32>]) -> usize {
    let shared = |center: &Vec<i32>| center.iter().zip(hash).map(|(a, b)| a * b).sum::<i32>();
    let most = centers.iter().map(shared).max().unwrap();
    centers.iter().position(|center| shared(center) == most).unwrap()
}

/// Lloyd's steps, one query after the other. So many clusters of so few bits leave some of them empty, and those stay where they are.
#[test]
fn clusters_are_those_of_steps_by_hand() {
    let spec = LloydClusters { count: 8, bits: 7, iterations: 3, seed: 4 };
    let rows = random(90, &[1, TIME, 1, SIZE]);
    let mut draws = foveate::check::Random::new(spec.seed);
    let planes: Vec<f32> = (0..spec.bits * SIZE).map(|_| draws.next_normal()).collect();
    let hashes: Vec<Vec<i32>> = rows.to_f32().chunks(SIZE).map(|row| hash(row, &planes)).collect();
    let members = |ids: &[usize], id: usize| -> Vec<&Vec<i32>> {
        hashes.iter().zip(ids).filter(|(_, own)| **own == id).map(|(hash, _)| hash).collect()
    };
    // Parts of a length and, behind them, of one more.
    let shorter = (TIME / spec.count + 1) * spec.count - TIME;
    let sizes = (0..spec.count).map(|part| TIME / spec.count + usize::from(part >= shorter));
    let parts: Vec<usize> = sizes.enumerate().flat_map(|(part, size)| vec![part; size]).collect();
    let mut centers: Vec<Vec<i32>> =
        (0..spec.count).map(|id| majority(&members(&parts, id), spec.bits)).collect();
    let mut empty = 0;
    for _ in 0..spec.iterations {
        let ids: Vec<usize> = hashes.iter().map(|hash| nearest(hash, &centers)).collect();
        for (id, center) in centers.iter_mut().enumerate() {
            match members(&ids, id) {
                none if none.is_empty() => empty += 1,
                own => *center = majority(&own, spec.bits),
            }
        }
    }
    assert!(empty > 0, "no cluster was empty");
    let expected: Vec<f32> = hashes.iter().map(|hash| nearest(hash, &centers) as f32).collect();
    let mut problem = Problem::default();
    let query = problem.input(rows);
    let ids = lloyd_clusters(&mut problem.graph, query, None, &spec).unwrap();
    let ids = ops::cast(&mut problem.graph, ids, DType::F32).unwrap();
    assert_eq!(problem.run(&[ids])[0], expected);
}
