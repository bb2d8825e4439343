//! Attention chosen by content: settings that make it exact, what it must not depend on, and what means nothing. On the references, where
//! nothing else is said.

use foveate::gpu::{Program, Session};
use foveate::ops::attention::{
    Blocked, Lsh, LshConvention, Routing, Scored, Sinkhorn, balanced_clusters, blocked,
    check_block_permutation, lsh_attention, lsh_attention_with_keys, lsh_bucket_factors, lsh_buckets,
    lsh_rotations, routing_attention, sinkhorn, sinkhorn_sorted, top_k_attention,
};
use foveate::{ErrorKind, Graph, HostTensor, Plan, Result, TensorDesc, Value, ops};

use super::composed::{HEADS, Problem, SIZE, TIME, assert_near, assert_refused_as, qkv, random};
use crate::support::{context, refused};

/// Buckets of `rounds` rounds, by another number in each.
fn buckets(problem: &mut Problem, rounds: usize, same: bool) -> Value {
    let ids = (0..2 * HEADS * rounds * TIME).map(|at| {
        let (round, line) = (if same { 0 } else { at / TIME % rounds }, at / TIME / rounds);
        (at % TIME * (5 + round) + line) as i32 * 7 % 11 % 4
    });
    problem.input(HostTensor::i32([2, HEADS, rounds, TIME], ids.collect()).unwrap())
}

fn hashed(problem: &mut Problem, buckets: Option<Value>, spec: &Lsh) -> Result<Value> {
    let [query, _, value] = qkv(2).map(|tensor| problem.input(tensor));
    Ok(lsh_attention(&mut problem.graph, query, value, buckets, spec)?.out)
}

fn result(record: impl FnOnce(&mut Problem) -> Result<Value>) -> Vec<f32> {
    let mut problem = Problem::default();
    let out = record(&mut problem).unwrap();
    problem.run(&[out]).remove(0)
}

#[test]
fn a_query_that_sees_all_chunks_sees_what_it_sees_unhashed() {
    for spec in [Lsh::new, |chunk| Lsh::new(chunk).causal()] as [fn(usize) -> Lsh; 2] {
        let exact = result(|problem| hashed(problem, None, &spec(TIME)));
        let all = result(|problem| {
            let buckets = buckets(problem, 2, false);
            hashed(problem, Some(buckets), &spec(8).around(2, 2).deduplicated())
        });
        assert_near("all chunks", &all, &exact);
    }
}

#[test]
fn a_query_sees_no_more_than_all_chunks_of_its_round() {
    let [all, more] = [3, 30].map(|number| {
        result(|problem| {
            let buckets = buckets(problem, 2, false);
            hashed(problem, Some(buckets), &Lsh::new(8).around(number, number))
        })
    });
    assert_near("more than all chunks", &more, &all);
}

/// With keys of their own: over all chunks it is exact attention, and of one bucket for all that of chunks by position.
#[test]
fn keys_of_their_own_are_sorted_by_their_own_buckets() {
    let apart = |spec: Lsh, rounds: usize| {
        result(|problem| {
            let qkv = qkv(2).map(|tensor| problem.input(tensor));
            let buckets = [buckets(problem, rounds, false), buckets(problem, rounds, true)];
            Ok(lsh_attention_with_keys(&mut problem.graph, qkv, Some(buckets), &spec)?.out)
        })
    };
    let exact = result(|problem| {
        let [q, k, v] = qkv(2).map(|tensor| problem.input(tensor));
        blocked(&mut problem.graph, q, k, v, &Blocked::new())
    });
    // Two rounds find each pair twice, which changes no mean.
    assert_near("all chunks", &apart(Lsh::new(8).around(2, 2), 2), &exact);
    assert_near("unhashed", &apart(Lsh::new(TIME), 1), &exact);
}

#[test]
fn equal_rounds_are_one_where_pairs_count_once() {
    let spec = Lsh::new(5).causal().deduplicated();
    for spec in [spec, spec.same_bucket()] {
        let [one, three] = [1, 3].map(|rounds| {
            result(|problem| {
                let buckets = buckets(problem, rounds, true);
                hashed(problem, Some(buckets), &spec)
            })
        });
        assert_near("three rounds", &three, &one);
    }
}

#[test]
fn the_first_of_causal_tokens_sees_itself() {
    for convention in [LshConvention::Stop, LshConvention::HuggingFace, LshConvention::Paper] {
        let found = result(|problem| {
            let buckets = buckets(problem, 4, false);
            hashed(problem, Some(buckets), &Lsh::new(5).causal().convention(convention))
        });
        let width = HEADS * SIZE;
        assert_near("the first token", &found[..width], &qkv(2)[2].to_f32()[..width]);
    }
}

#[test]
fn items_of_a_batch_do_not_depend_on_their_order() {
    let attended = |first: usize| {
        let mut problem = Problem::default();
        let turned = |tensor: &HostTensor| {
            let numbers = tensor.to_f32();
            let half = numbers.len() / 2;
            let turned = [&numbers[first * half..], &numbers[..first * half]].concat();
            HostTensor::f32(tensor.shape().clone(), turned).unwrap()
        };
        let [q, _, v] = qkv(2).map(|tensor| problem.input(turned(&tensor)));
        let (spec, factors) = (Lsh::new(5).causal(), lsh_bucket_factors(8));
        let rotations = problem.input(lsh_rotations([HEADS, SIZE, 3], &factors, 5).unwrap());
        let found = lsh_buckets(&mut problem.graph, q, rotations, &factors, &spec).unwrap();
        let out = lsh_attention(&mut problem.graph, q, v, Some(found), &spec).unwrap().out;
        problem.run(&[out]).remove(0)
    };
    let [given, mut turned] = [0, 1].map(attended);
    let half = turned.len() / 2;
    turned.rotate_left(half);
    assert_eq!(given, turned);
}

/// Workgroups come in any order, and no sum depends on it.
#[test]
fn a_hundred_runs_on_the_device_give_the_same_bits() {
    const LONG: usize = 300;
    let mut graph = Graph::new();
    let rows = TensorDesc::f32([1, LONG, HEADS, SIZE]);
    let [query, value] = ["query", "value"].map(|name| graph.input(name, rows.clone()).unwrap());
    let (spec, factors) = (Lsh::new(16).convention(LshConvention::HuggingFace), lsh_bucket_factors(16));
    let rotations = lsh_rotations([HEADS, SIZE, 4], &factors, 5).unwrap();
    let of_rotations = graph.input("rotations", rotations.desc()).unwrap();
    let buckets = lsh_buckets(&mut graph, query, of_rotations, &factors, &spec).unwrap();
    let out = lsh_attention(&mut graph, query, value, Some(buckets), &spec).unwrap().out;
    let flat = ops::reshape(&mut graph, out, [1, LONG * HEADS * SIZE]).unwrap();
    let squares = ops::square(&mut graph, flat).unwrap();
    let loss = ops::sum(&mut graph, squares, &[1]).unwrap();
    let loss = ops::reshape(&mut graph, loss, [1]).unwrap();
    let gradients = graph.gradients(loss, &[query, value]).unwrap();
    for (name, value) in ["out", "d query", "d value"].into_iter().zip([vec![out], gradients].concat()) {
        graph.output(name, value).unwrap();
    }
    let tensors = [60, 61].map(|seed| random(seed, &[1, LONG, HEADS, SIZE]));
    let inputs = [("query", &tensors[0]), ("value", &tensors[1]), ("rotations", &rotations)];
    let program = Program::new(context(), &Plan::new(&graph, context().caps()).unwrap()).unwrap();
    let mut session = Session::new(&program, &inputs).unwrap();
    let mut first = None;
    for run in 0..100 {
        session.run().unwrap();
        let outputs = session.read().unwrap();
        assert_eq!(&outputs, first.get_or_insert_with(|| outputs.clone()), "run {run}");
    }
}

#[test]
fn buckets_of_many_are_found_by_two_factors() {
    for (count, factors) in
        [(1, vec![2]), (7, vec![8]), (64, vec![64]), (66, vec![8, 10]), (128, vec![12, 12])]
    {
        assert_eq!(lsh_bucket_factors(count), factors);
        assert!(factors.iter().product::<usize>() >= count);
    }
    let mut problem = Problem::default();
    let query = problem.input(random(60, &[1, 1000, 1, SIZE]));
    let rotations = problem.input(lsh_rotations([1, SIZE, 1], &[12, 12], 3).unwrap());
    let spec = Lsh::new(64);
    let found = lsh_buckets(&mut problem.graph, query, rotations, &[12, 12], &spec).unwrap();
    let found = ops::cast(&mut problem.graph, found, foveate::DType::F32).unwrap();
    let mut found: Vec<i32> = problem.run(&[found])[0].iter().map(|&bucket| bucket as i32).collect();
    found.sort_unstable();
    found.dedup();
    assert!(found.len() > 64 && found.iter().all(|bucket| (0..144).contains(bucket)), "{}", found.len());
}

#[test]
fn one_cluster_of_all_and_all_keys_are_exact_attention() {
    let mut problem = Problem::default();
    let [q, k, v] = qkv(2).map(|tensor| problem.input(tensor));
    let centroids = problem.input(random(61, &[HEADS, 1, SIZE]));
    let graph = &mut problem.graph;
    let exact = blocked(graph, q, k, v, &Blocked::new()).unwrap();
    let [own, of_keys] = [q, k].map(|x| balanced_clusters(graph, x, centroids, TIME).unwrap());
    let routed = routing_attention(graph, q, Some(k), v, [own, of_keys], &Routing::new()).unwrap();
    let highest = top_k_attention(graph, q, k, v, TIME, &Scored::new()).unwrap().out;
    let sorted = sinkhorn(graph, q, k, v, None, &Sinkhorn::new(TIME)).unwrap().out;
    let results = problem.run(&[exact, routed, highest, sorted]);
    // Divided by 1 and 1e-5.
    let routed: Vec<f32> = results[1].iter().map(|x| x * (1.0 + 1e-5)).collect();
    assert_near("one cluster", &routed, &results[0]);
    assert_near("all keys", &results[2], &results[0]);
    assert_near("one block, twice", &results[3], &results[0]);
}

/// A score that is no number is among the highest: its row is not that of the keys which are numbers.
#[test]
fn nan_is_seen_by_the_highest_scores() {
    let mut problem = Problem::default();
    let [q, k, v] = qkv(1);
    let mut keys = k.to_f32();
    keys[3 * HEADS * SIZE..3 * HEADS * SIZE + SIZE].fill(f32::NAN);
    let k = HostTensor::f32(k.shape().clone(), keys).unwrap();
    let [q, k, v] = [q, k, v].map(|tensor| problem.input(tensor));
    let out = top_k_attention(&mut problem.graph, q, k, v, 2, &Scored::new()).unwrap().out;
    let out = problem.run(&[out]).remove(0);
    for (row, heads) in out.chunks(HEADS * SIZE).enumerate() {
        assert!(heads[..SIZE].iter().all(|x| x.is_nan()), "row {row}");
        assert!(heads[SIZE..].iter().all(|x| x.is_finite()), "row {row}");
    }
}

/// A cluster that is not full holds numbers that are no position: nothing of them reaches token 0.
#[test]
fn members_that_are_no_position_count_for_nothing() {
    for none in [-1, TIME as i32, i32::MAX] {
        let mut problem = Problem::default();
        let [q, k, v] = qkv(1).map(|tensor| problem.input(tensor));
        let members =
            |members: [i32; 3]| HostTensor::i32([1, HEADS, 1, 3], [members; HEADS].concat()).unwrap();
        let ids = problem.input(members([3, 5, none]));
        let out = routing_attention(&mut problem.graph, q, Some(k), v, [ids; 2], &Routing::new()).unwrap();
        let out = problem.run(&[out]).remove(0);
        for (row, numbers) in out.chunks(HEADS * SIZE).enumerate() {
            assert_eq!(numbers.iter().any(|x| *x != 0.0), [3, 5].contains(&row), "row {row}, {none}");
        }
    }
}

#[test]
fn settings_that_mean_nothing_are_refused() {
    let rows = TensorDesc::f32([2, TIME, HEADS, SIZE]);
    let ids = |shape: &[usize]| TensorDesc::i32(shape);
    let argument = ErrorKind::Argument;
    let lsh = |spec: Lsh, buckets: TensorDesc| {
        refused(&[rows.clone(), buckets], move |graph, v| {
            Ok(lsh_attention(graph, v[0], v[0], Some(v[1]), &spec)?.out)
        })
    };
    let of_rounds = || ids(&[2, HEADS, 3, TIME]);
    assert_refused_as(&lsh(Lsh::new(0), of_rounds()), argument, "attention/lsh", "chunk");
    assert_refused_as(&lsh(Lsh::new(4).padded_to(6), of_rounds()), argument, "attention/lsh", "padded_to");
    let ring = Lsh::new(8).convention(LshConvention::HuggingFace);
    assert_refused_as(&lsh(ring.around(10, 0), of_rounds()), argument, "attention/lsh", "before");
    assert_refused_as(&lsh(ring.around(0, 10), of_rounds()), argument, "attention/lsh", "after");
    for (spec, what) in
        [(Lsh::new(8).same_bucket(), "same_bucket"), (Lsh::new(8).deduplicated(), "deduplicated")]
    {
        let error = refused(&[rows.clone(), of_rounds()], move |graph, v| {
            Ok(lsh_attention_with_keys(graph, [v[0]; 3], Some([v[1]; 2]), &spec)?.out)
        });
        assert_refused_as(&error, ErrorKind::Unsupported, "attention/lsh", what);
    }
    let error = lsh(Lsh::new(4), ids(&[2, HEADS, 3, TIME - 1]));
    assert_refused_as(&error, ErrorKind::Shape, "attention/lsh", "buckets");
    let error = refused(std::slice::from_ref(&rows), |graph, v| {
        Ok(lsh_attention(graph, v[0], v[0], None, &Lsh::new(4))?.out)
    });
    assert_refused_as(&error, argument, "attention/lsh", "buckets");
    for (shape, factors, kind, op, what) in [
        ([HEADS, SIZE, 2, 3], [6, 3], argument, "index/rotation_buckets", "factors"),
        ([HEADS, SIZE, 2, 3], [6, 2], ErrorKind::Shape, "index/rotation_buckets", "rotated"),
        ([HEADS, SIZE + 1, 2, 3], [4, 2], ErrorKind::Shape, "attention/lsh_buckets", "rotations"),
    ] {
        let error = refused(&[rows.clone(), TensorDesc::f32(shape)], |graph, v| {
            lsh_buckets(graph, v[0], v[1], &factors, &Lsh::new(4))
        });
        assert_refused_as(&error, kind, op, what);
    }
    for k in [0, TIME + 1] {
        let error = refused(std::slice::from_ref(&rows), |graph, v| {
            Ok(top_k_attention(graph, v[0], v[0], v[0], k, &Scored::new())?.out)
        });
        assert_refused_as(&error, argument, "attention/top_k", "k");
    }
    for (centroids, window, kind, what) in [
        ([HEADS, 4, SIZE], TIME + 1, argument, "window"),
        ([HEADS, 4, SIZE], 0, argument, "window"),
        ([HEADS, 4, SIZE + 1], 4, ErrorKind::Shape, "centroids"),
    ] {
        let error = refused(&[rows.clone(), TensorDesc::f32(centroids)], |graph, v| {
            balanced_clusters(graph, v[0], v[1], window)
        });
        assert_refused_as(&error, kind, "attention/balanced_clusters", what);
    }
    for block in [0, 4] {
        let error = refused(&[rows.clone(), ids(&[2, HEADS, 5])], |graph, v| {
            sinkhorn_sorted(graph, [v[0]; 3], v[1], block, false, None)
        });
        assert_refused_as(&error, argument, "attention/sinkhorn", "block");
    }
    let order = |blocks: Vec<i32>| check_block_permutation(&HostTensor::i32([2, 3], blocks).unwrap());
    order(vec![2, 0, 1, 0, 1, 2]).unwrap();
    for (blocks, found) in [
        (vec![2, 0, 1, 0, 2, 2], "block 2 twice in row 1"),
        (vec![2, 0, 3, 0, 1, 2], "block 3 in row 0"),
        (vec![2, 0, -1, 0, 1, 2], "block -1 in row 0"),
    ] {
        let error = order(blocks).unwrap_err();
        assert_refused_as(&error, argument, "attention/sinkhorn", "permutation");
        assert!(error.to_string().ends_with(found), "{error}");
    }
    let error = check_block_permutation(&HostTensor::f32([2], vec![0.0, 1.0]).unwrap()).unwrap_err();
    assert_refused_as(&error, ErrorKind::Shape, "attention/sinkhorn", "permutation");
    let error = refused(std::slice::from_ref(&rows), |graph, v| {
        Ok(sinkhorn(graph, v[0], v[0], v[0], None, &Sinkhorn::new(TIME).temperature(0.0))?.out)
    });
    assert_refused_as(&error, argument, "attention/sinkhorn", "temperature");
}
