use foveate::ops::loss::{Alignment, Ctc, check_targets, ctc};
use foveate::{Caps, ErrorKind, Graph, HostTensor, Plan, TensorDesc, cpu};

use crate::support::run;

const FRAMES: usize = 6;
const SYMBOLS: usize = 4;

/// Losses and the gradient of logits, for one item a row of `targets`.
fn recorded(targets: [usize; 2], spec: &Ctc) -> Graph {
    let [items, labels] = targets;
    let mut graph = Graph::new();
    let logits = graph.input("logits", TensorDesc::f32([items, FRAMES, SYMBOLS])).unwrap();
    let alignment = Alignment {
        targets: graph.input("targets", TensorDesc::i32(targets)).unwrap(),
        frames: graph.input("frames", TensorDesc::i32([items])).unwrap(),
        labels: graph.input("labels", TensorDesc::i32([items])).unwrap(),
    };
    assert!(labels > 0);
    let losses = ctc(&mut graph, logits, &alignment, spec).unwrap();
    let total = foveate::ops::sum(&mut graph, losses, &[0]).unwrap();
    let gradient = graph.gradients(total, &[logits]).unwrap()[0];
    graph.output("losses", losses).unwrap();
    graph.output("gradient", gradient).unwrap();
    graph
}

/// A sum that leaves out what is not a number would be a loss like any other.
#[test]
fn of_logits_that_are_not_numbers_neither_is_the_loss() {
    let mut logits: Vec<f32> = (0..3 * FRAMES * SYMBOLS).map(|at| (at * 7 % 5) as f32).collect();
    // The second item has one such frame, the third such frames only.
    logits[(FRAMES + 2) * SYMBOLS] = f32::NAN;
    logits[2 * FRAMES * SYMBOLS..].fill(f32::INFINITY);
    let logits = HostTensor::f32([3, FRAMES, SYMBOLS], logits).unwrap();
    let targets = HostTensor::i32([3, 2], vec![1, 2, 3, 3, 2, 1]).unwrap();
    let frames = HostTensor::i32([3], vec![FRAMES as i32; 3]).unwrap();
    let labels = HostTensor::i32([3], vec![2; 3]).unwrap();
    let inputs = [("logits", &logits), ("targets", &targets), ("frames", &frames), ("labels", &labels)];
    for spec in [Ctc::new(), Ctc::new().zero_infinity()] {
        let graph = recorded([3, 2], &spec);
        for found in [run(&graph, &inputs), cpu::run(&graph, &inputs).unwrap()] {
            let losses = found["losses"].to_f32();
            assert!(losses[0].is_finite() && losses[1].is_nan() && losses[2].is_nan(), "{losses:?}");
            let gradient = found["gradient"].to_f32();
            let of_item = |item: usize| &gradient[item * FRAMES * SYMBOLS..(item + 1) * FRAMES * SYMBOLS];
            assert!(of_item(0).iter().all(|x| x.is_finite()));
            assert!([1, 2].iter().all(|&item| of_item(item).iter().any(|x| x.is_nan())), "{gradient:?}");
        }
    }
}

#[test]
fn targets_without_an_alignment_are_refused() {
    let spec = Ctc::new();
    for (labels, frames) in [(&[1, 2][..], 2), (&[1, 1], 3), (&[], 0)] {
        check_targets(&[labels], &[frames], 4, &spec).unwrap();
    }
    let refused = [
        (&[1, 0][..], 9, "symbols below 4 other than the blank"),
        (&[1, 4], 9, "symbols below 4 other than the blank"),
        (&[1, 2], 1, "what 1 frames can hold"),
        (&[1, 1], 2, "which need 3 frames"),
    ];
    for (labels, frames, expected) in refused {
        let error = check_targets(&[&[2], labels], &[1, frames], 4, &spec).unwrap_err();
        assert_eq!((error.kind(), error.argument()), (ErrorKind::Argument, "target 1"));
        assert!(error.to_string().contains(expected), "{error}");
    }
    check_targets(&[&[1, 1]], &[2], 4, &spec.zero_infinity()).unwrap();
    let error = check_targets(&[&[1]], &[], 4, &spec).unwrap_err();
    assert_eq!(error.argument(), "frames");
}

#[test]
fn more_labels_than_workgroup_memory_holds_are_refused_by_the_plan() {
    let caps = Caps { max_workgroup_bytes: 16384, ..Caps::webgpu_default() };
    Plan::new(&recorded([1, 1023], &Ctc::new()), &caps).unwrap();
    let error = Plan::new(&recorded([1, 1024], &Ctc::new()), &caps).unwrap_err();
    assert_eq!((error.kind(), error.op(), error.argument()), (ErrorKind::Limit, "loss/ctc", "targets"));
    assert!(error.to_string().contains("at most 1023 labels"), "{error}");
}
