//! What parameters hold after a run: which of them are written where they lie, and which updates are refused.

use std::collections::HashSet;

use crate::graph::{Graph, Step, Value};
use crate::{Error, ErrorKind, Result};

/// What decides whether a step may write a parameter's own memory.
pub(super) struct ParameterUses<'p> {
    graph: &'p Graph,
    /// The value whose memory each value shares.
    root: &'p [usize],
    /// Pairs of a parameter and the value it is updated to.
    updates: HashSet<(usize, usize)>,
    /// The last step that reads each value, or a view of it.
    last_read: Vec<Option<usize>>,
    /// Whether each value, or a view of it, is a result of the run.
    is_result: Vec<bool>,
}

impl<'p> ParameterUses<'p> {
    pub(super) fn of(graph: &'p Graph, root: &'p [usize], steps: &[&Step]) -> Self {
        let (mut last_read, mut is_result) = (vec![None; root.len()], vec![false; root.len()]);
        for (at, step) in steps.iter().enumerate() {
            for value in &step.inputs {
                last_read[root[value.index()]] = Some(at);
            }
        }
        for value in graph.results() {
            is_result[root[value.index()]] = true;
        }
        let pair = |&(parameter, value): &(Value, Value)| (parameter.index(), value.index());
        Self { graph, root, updates: graph.updates().iter().map(pair).collect(), last_read, is_result }
    }

    /// Whether `step`, number `at`, may change `input` in place to make `output`: as the parameter's own update, after which nothing
    /// reads the old contents.
    pub(super) fn may_overwrite(&self, step: &Step, at: usize, [output, input]: [Value; 2]) -> bool {
        let root = |value: Value| self.root[value.index()];
        let reads = || step.inputs.iter().filter(|&&value| root(value) == root(input)).count();
        self.updates.contains(&(root(input), output.index()))
            && self.graph.values()[output.index()].elements() > 0
            && reads() == 1
            && self.last_read[root(input)] == Some(at)
            && !self.is_result[root(input)]
    }
}

/// Refuses updates to what a parameter or an input holds, as it is or under another shape: copies one behind the other would read what the first
/// of them wrote. `root` is the value whose memory each value shares.
pub(super) fn check(graph: &Graph, root: &[usize]) -> Result<()> {
    let updates: HashSet<usize> = graph.updates().iter().map(|(_, value)| root[value.index()]).collect();
    let mut given = graph.kept().chain(graph.inputs());
    match given.find(|(_, value)| updates.contains(&value.index())) {
        None => Ok(()),
        Some((name, _)) => Err(Error::new(ErrorKind::Argument, "plan", "update")
            .expecting("the result of a step")
            .but_found(format!("a view of `{name}`"))),
    }
}

/// Of each parameter and then of each state, whether a run changes it.
pub(super) fn updated(graph: &Graph) -> Vec<bool> {
    let updated: HashSet<Value> = graph.updates().iter().map(|(parameter, _)| *parameter).collect();
    graph.kept().map(|(_, value)| updated.contains(value)).collect()
}
