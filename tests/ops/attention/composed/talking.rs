//! Talking heads with stored scores against those without.

use super::*;

/// With more queries than keys, the first queries of a causal rule see none; so do all of an item of no length.
#[test]
fn heads_that_talk_about_no_key_give_0_whether_scores_are_stored_or_not() {
    const FEWER: usize = 17;
    for has_lengths in [false, true] {
        let mut problem = Problem::default();
        let query = problem.input(random(80, &[2, TIME, HEADS, SIZE]));
        let [key, value] = [81, 82].map(|seed| problem.input(random(seed, &[2, FEWER, HEADS, SIZE])));
        let mixing = mixing(&mut problem);
        let lengths = problem.input(HostTensor::i32([2], vec![0, 9]).unwrap());
        let upstream = problem.input(random(83, &[2, TIME, HEADS, SIZE]));
        let mut results = Vec::new();
        for spec in [TalkingHeads::new().causal(), TalkingHeads::new().causal().storing_scores()] {
            let spec = if has_lengths { spec.lengths(lengths) } else { spec };
            let graph = &mut problem.graph;
            let out = talking_heads(graph, query, key, value, mixing, &spec).unwrap();
            let products = ops::multiply(graph, out, upstream).unwrap();
            let loss = ops::sum(graph, products, &[0, 1, 2, 3]).unwrap();
            let loss = ops::reshape(graph, loss, [1]).unwrap();
            let wrt = [query, key, value, mixing[0], mixing[1]];
            results.push([vec![out], graph.gradients(loss, &wrt).unwrap()].concat());
        }
        let found = problem.run(&results.concat());
        let (apart, stored) = found.split_at(found.len() / 2);
        let unseen = if has_lengths { TIME } else { TIME - FEWER };
        assert!(stored[0][..unseen * HEADS * SIZE].iter().all(|&x| x == 0.0), "lengths: {has_lengths}");
        for (at, (apart, stored)) in apart.iter().zip(stored).enumerate() {
            assert_near(&format!("result {at}, lengths: {has_lengths}"), stored, apart);
        }
    }
}

/// Attention takes 256 channels of values at a time: four of five heads of 64.
#[test]
fn heads_of_values_that_are_mixed_in_parts_are_those_of_stored_scores() {
    const VALUE_HEADS: usize = 5;
    let mut problem = Problem::default();
    let [query, key] = [84, 85].map(|seed| problem.input(random(seed, &[1, TIME, HEADS, SIZE])));
    let value = problem.input(random(86, &[1, TIME, VALUE_HEADS, 64]));
    let mixing = [problem.weight(87, &[HEADS, HEADS]), problem.weight(88, &[HEADS, VALUE_HEADS])];
    let graph = &mut problem.graph;
    let outs = [TalkingHeads::new(), TalkingHeads::new().storing_scores()]
        .map(|spec| talking_heads(graph, query, key, value, mixing, &spec).unwrap());
    let results = problem.run(&outs);
    assert_near("values in parts", &results[0], &results[1]);
}
