//! Which steps are needed, and from when to when each value is.

use crate::graph::Graph;

/// Marks the steps that some output depends on.
pub(super) fn needed_steps(graph: &Graph) -> Vec<bool> {
    let mut wanted = vec![false; graph.values().len()];
    for (_, value) in graph.outputs() {
        wanted[value.index()] = true;
    }
    let mut needed = vec![false; graph.steps().len()];
    for (index, step) in graph.steps().iter().enumerate().rev() {
        if step.outputs().iter().any(|value| wanted[value.index()]) {
            needed[index] = true;
            for value in step.inputs() {
                wanted[value.index()] = true;
            }
        }
    }
    needed
}

/// The steps, first and last, during which a buffer must keep its contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Interval {
    pub(super) bytes: u64,
    pub(super) first: usize,
    pub(super) last: usize,
}

impl Interval {
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}
