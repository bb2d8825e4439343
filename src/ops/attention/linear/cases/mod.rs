//! Benchmarks, and conformance cases: lengths around the edges of chunks and tiles, head and value sizes of every class, maps, denominators,
//! masks, states, grouped heads, packed sequences, decays, the delta rule, chunks of any length. Gradients' cases follow from these.

mod setup;

use super::{Denominator, NAME, linear_attention};
use crate::check::{Bench, Case, Work};
use crate::ops::Activation;
use crate::tensor::DType;

use setup::{Setup, Wanted};

pub(crate) fn cases() -> Vec<Case> {
    let mut setups = length_setups();
    setups.extend(rule_setups());
    setups.extend(size_setups());
    setups.extend(packed_setups());
    setups.extend(decay_setups());
    setups.extend(delta_setups());
    setups.push(Setup { is_custom: true, ..Setup::causal(70).unnormalised() });
    setups.push(Setup { is_custom: true, ..Setup::new(30, 41).sizes(5, 7).unnormalised() });
    let f16 = setups.iter().step_by(3).cloned().map(|setup| Setup { dtype: DType::F16, ..setup });
    let f16: Vec<Setup> = f16.collect();
    let mut cases: Vec<Case> = setups.into_iter().chain(f16).map(|setup| setup.case(Wanted::All)).collect();
    for setup in [
        Setup::causal(50),
        Setup::causal(130),
        Setup::causal(130).with_state(),
        Setup::new(40, 70),
        Setup::packed(100, &[&[30, 41, 29]]),
    ] {
        cases.push(setup.clone().case(Wanted::Out));
        cases.push(setup.case(Wanted::State));
    }
    cases
}

fn length_setups() -> Vec<Setup> {
    let mut setups = Vec::new();
    for time in [1, 2, 15, 63, 64, 65, 97, 200] {
        setups.push(Setup::causal(time));
        setups.push(Setup::new(time, 65));
        setups.push(Setup::new(33, time));
    }
    for (query_time, key_time) in [(0, 5), (5, 0), (0, 0)] {
        setups.push(Setup::new(query_time, key_time));
    }
    setups.push(Setup::causal(0).with_state());
    setups.push(Setup::new(300, 1000).sizes(32, 32));
    setups.push(Setup::causal(1000).heads(1, 1));
    for chunk in [1, 7, 16, 64, 1000] {
        setups.push(Setup::causal(150).chunk(chunk).with_state());
        setups.push(Setup::new(150, 150).chunk(chunk));
    }
    setups
}

fn rule_setups() -> Vec<Setup> {
    let mut setups = Vec::new();
    for map in [Activation::Relu, Activation::SquaredRelu, Activation::Softplus, Activation::Sigmoid] {
        setups.push(Setup { denominator: Some(Denominator::Plus(0.1)), ..Setup::causal(90).map(map) });
        setups.push(Setup { denominator: Some(Denominator::AtLeast(4.0)), ..Setup::new(40, 30).map(map) });
    }
    for map in
        [Activation::Identity, Activation::Tanh, Activation::Relu, Activation::LeakyRelu { slope: 0.1 }]
    {
        setups.push(Setup { scale: 0.25, ..Setup::causal(90).map(map).unnormalised() });
        setups.push(Setup { scale: -0.5, ..Setup::new(30, 50).map(map).unnormalised().with_state() });
    }
    let exp = Setup { maps: [Activation::Sigmoid, Activation::Exp], scale: 0.25, ..Setup::causal(70) };
    setups.push(Setup { denominator: Some(Denominator::AtLeast(1e-3)), ..exp });
    // The sums of the first rows are below it, those of the last above.
    let squared = Setup::causal(90).map(Activation::SquaredRelu);
    setups.push(Setup { denominator: Some(Denominator::AtLeast(8.0)), ..squared });
    setups.push(Setup { denominator: Some(Denominator::Plus(0.0)), ..Setup::causal(70) });
    setups.push(Setup::new(50, 70).lengths(&[70, 0, 33, 1, 500, -4]));
    setups.push(Setup::causal(70).lengths(&[70, 0, 33, 64, 500]));
    setups.push(Setup::causal(70).lengths(&[70, 0, 33]).with_state());
    for (heads, kv_heads) in [(4, 2), (7, 1), (6, 6), (14, 2)] {
        setups.push(Setup::causal(70).heads(heads, kv_heads).with_state());
        setups.push(Setup::new(1, 70).heads(heads, kv_heads));
    }
    // A token at a time.
    setups.push(Setup { batch: 3, ..Setup::causal(1).sizes(64, 64).heads(8, 2).with_state() });
    // More workgroups than one axis of a dispatch holds.
    setups.push(Setup { batch: 33_000, ..Setup::causal(2).sizes(4, 4) });
    setups
}

fn size_setups() -> Vec<Setup> {
    let square = [1, 8, 31, 32, 40, 64, 96, 128, 256].map(|size| (size, size));
    let oblong = [(64, 32), (5, 128), (128, 3), (256, 1), (1, 256), (24, 7), (16, 24)];
    let setup = |(i, (head_size, value_size)): (usize, (usize, usize))| {
        let setup = if i % 3 == 2 { Setup::new(35, 47) } else { Setup::causal(70).with_state() };
        let setup = setup.sizes(head_size, value_size);
        if i % 2 == 1 { setup.unnormalised() } else { setup }
    };
    square.into_iter().chain(oblong).enumerate().map(setup).collect()
}

fn packed_setups() -> Vec<Setup> {
    let edges: &[usize] = &[1, 2, 63, 64, 65, 97];
    let causal = |setup: Setup| Setup { is_causal: true, ..setup };
    vec![
        causal(Setup::packed(292, &[edges])),
        Setup::packed(292, &[edges]),
        causal(Setup::packed(100, &[&[1; 70]])),
        Setup::packed(100, &[&[3; 30]]),
        causal(Setup::packed(200, &[&[200], &[64, 64, 72]])),
        Setup::packed(200, &[&[200], &[64, 64, 72]]).with_state(),
        causal(Setup::packed(150, &[&[40, 60], &[1, 148], &[], &[150]])).with_state(),
        Setup::packed(150, &[&[40, 60], &[1, 148], &[], &[150]]).chunk(10),
        causal(Setup::packed(70, &[&[33, 37], &[5, 64]])).heads(4, 2).chunk(16).with_state(),
        Setup::packed(70, &[&[33, 37], &[5, 64]]).heads(4, 2).chunk(16).with_state(),
        Setup::packed(70, &[&[33, 37], &[5, 64]]).map(Activation::Tanh).unnormalised(),
        causal(Setup::packed(90, &[&[80, 10], &[90]])).lengths(&[85, 30]),
        Setup::packed(90, &[&[80, 10], &[90]]).lengths(&[85, 30]),
        Setup::packed(0, &[&[], &[]]).with_state(),
    ]
}

fn decay_setups() -> Vec<Setup> {
    let packed = |items: &[&[usize]]| Setup { is_causal: true, ..Setup::packed(150, items) };
    let normalised = |setup: Setup| Setup {
        maps: [Activation::EluPlusOne; 2],
        denominator: Some(Denominator::Plus(1e-6)),
        ..setup
    };
    let of_steps = vec![
        Setup::causal(40).decays(-0.1),
        Setup::causal(200).with_state().decays(-0.1),
        Setup::causal(150).chunk(16).with_state().decays(-1.0),
        Setup::causal(90).heads(4, 2).sizes(16, 24).with_state().decays(-1.0),
        Setup::causal(150).with_state().decays(-8.0),
        Setup::causal(150).chunk(1).with_state().decays(-8.0),
        packed(&[&[40, 60], &[1, 148], &[150]]).with_state().decays(-1.0),
        Setup::causal(0).with_state().decays(-1.0),
        Setup { batch: 3, ..Setup::causal(1).sizes(64, 64).heads(8, 2).with_state() }.decays(-1.0),
        Setup::causal(70).lengths(&[70, 0, 33]).with_state().decays(-1.0),
        normalised(Setup::causal(100).with_state().decays(-1.0)),
        normalised(packed(&[&[40, 60], &[1, 148]]).heads(4, 2).chunk(16).decays(-8.0)),
        packed(&[&[40, 60], &[1, 148], &[150]]).lengths(&[120, 0, 77]).heads(4, 2).with_state().decays(-1.0),
    ];
    let of_channels = vec![
        Setup::causal(40).decays(-0.1),
        Setup::causal(100).with_state().decays(-1.0),
        Setup::causal(70).with_state().decays(-8.0),
        Setup::causal(150).chunk(64).with_state().decays(-8.0),
        Setup::causal(50).chunk(1).with_state().decays(-8.0),
        Setup::causal(90).heads(4, 2).sizes(16, 24).with_state().decays(-1.0),
        Setup::causal(40).sizes(5, 128).with_state().decays(-1.0),
        Setup::causal(40).sizes(128, 3).decays(-1.0),
        packed(&[&[40, 60], &[1, 148], &[150]]).with_state().decays(-1.0),
        packed(&[&[40, 60], &[1, 148], &[150]]).lengths(&[120, 0, 77]).heads(4, 2).with_state().decays(-1.0),
        Setup::causal(70).lengths(&[70, 0, 33]).with_state().decays(-1.0),
        normalised(Setup::causal(100).with_state().decays(-1.0)),
        Setup::causal(0).with_state().decays(-1.0),
        Setup { batch: 3, ..Setup::causal(1).sizes(64, 64).heads(8, 2).with_state() }.decays(-1.0),
    ];
    of_steps.into_iter().chain(of_channels.into_iter().map(Setup::by_channel)).collect()
}

fn delta_setups() -> Vec<Setup> {
    let packed = |items: &[&[usize]]| Setup { is_causal: true, ..Setup::packed(150, items) };
    let gated = |setup: Setup, least: f32| Setup { decay: Some(least), ..setup.delta(1.0) };
    vec![
        Setup::causal(40).delta(1.0),
        Setup::causal(150).with_state().delta(1.0),
        Setup::causal(100).chunk(1).with_state().delta(1.0),
        Setup::causal(150).chunk(16).with_state().delta(2.0),
        Setup::causal(300).chunk(1000).with_state().delta(1.0),
        Setup::causal(90).heads(4, 2).sizes(16, 24).with_state().delta(1.0),
        Setup::causal(40).sizes(5, 128).with_state().delta(1.0),
        Setup::causal(40).sizes(128, 3).delta(1.0),
        Setup::causal(20).sizes(1, 1).with_state().delta(1.0),
        packed(&[&[40, 60], &[1, 148], &[150]]).with_state().delta(1.0),
        Setup::causal(70).lengths(&[70, 0, 33]).with_state().delta(1.0),
        Setup::causal(0).with_state().delta(1.0),
        Setup { batch: 3, ..Setup::causal(1).sizes(64, 64).heads(8, 2).with_state() }.delta(1.0),
        gated(Setup::causal(100).with_state(), -1.0),
        gated(Setup::causal(150).chunk(16).heads(4, 2).with_state(), -8.0),
        gated(packed(&[&[40, 60], &[1, 148], &[150]]).with_state(), -1.0),
        gated(Setup::causal(70).lengths(&[70, 0, 33]).with_state(), -1.0),
        gated(Setup::causal(40), -1.0).by_channel(),
        gated(Setup::causal(100).with_state(), -8.0).by_channel(),
        gated(Setup::causal(150).chunk(64).heads(4, 2).with_state(), -8.0).by_channel(),
        gated(Setup::causal(50).chunk(1).with_state(), -1.0).by_channel(),
        gated(Setup::causal(90).sizes(16, 24).with_state(), -1.0).by_channel(),
        gated(Setup::causal(40).sizes(5, 128).with_state(), -1.0).by_channel(),
        gated(Setup::causal(40).sizes(128, 3), -1.0).by_channel(),
        gated(packed(&[&[40, 60], &[1, 148], &[150]]).with_state(), -1.0).by_channel(),
        gated(Setup::causal(70).lengths(&[70, 0, 33]).with_state(), -1.0).by_channel(),
        gated(Setup::causal(0).with_state(), -1.0).by_channel(),
        gated(Setup { batch: 3, ..Setup::causal(1).sizes(64, 64).heads(8, 2).with_state() }, -1.0)
            .by_channel(),
        gated(packed(&[&[40, 60], &[1, 148], &[150]]).lengths(&[120, 0, 77]).heads(4, 2).with_state(), -1.0),
        // Sequences that end with a chunk.
        gated(packed(&[&[64, 64], &[128, 22]]).with_state(), -1.0),
        // Walks over so many chunks are cut.
        gated(Setup::causal(1400).chunk(1).heads(1, 1).sizes(8, 4).with_state(), -0.1),
    ]
}

/// Every row counts the products of the recurrence, `4 * time * heads * head_size * value_size` a pass: with the output, twice that of state
/// and output, and two more such pairs backwards.
pub(crate) fn benches() -> Vec<Bench> {
    let bench = |label: &str, time: usize, setup: fn(usize) -> Setup, is_backward: bool| {
        let flops = (4 * time * 4 * 64 * 64) as u64 * if is_backward { 3 } else { 1 };
        Bench::new(NAME, label, Work::Flops(flops), move |problem| {
            let setup = setup(time).sizes(64, 64).heads(4, 4);
            let ([q, k, v], spec) = setup.inputs(problem)?;
            let out = linear_attention(&mut problem.graph, q, k, v, &spec)?;
            if !is_backward {
                return Ok(vec![out]);
            }
            let upstream = problem.random("upstream", DType::F32, [1, time, 4, 64], 1.0)?;
            let gradients = problem.graph.gradients_from(&[(out, upstream)], &[q, k, v])?;
            Ok(gradients.into_iter().flatten().collect())
        })
    };
    let full: fn(usize) -> Setup = |time| Setup::new(time, time);
    let step: fn(usize) -> Setup = |time| Setup::causal(time).with_state();
    vec![
        bench("4096, causal", 4096, Setup::causal, false),
        bench("4096, causal, forward and backward", 4096, Setup::causal, true),
        bench("4096, causal, relu", 4096, |time| Setup::causal(time).map(Activation::Relu), false),
        bench("1024, causal", 1024, Setup::causal, false),
        bench("65,536, causal", 65_536, Setup::causal, false),
        bench("4096", 4096, full, false),
        bench("4096, forward and backward", 4096, full, true),
        bench("one token from a state", 1, step, false),
    ]
}
