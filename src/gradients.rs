//! [`Graph::gradients`]: reverse-mode differentiation. Goes through the steps backwards, and every op appends the steps that compute its gradients.
//!
//! Lies above `ops`, because sums of gradients are steps too. Blocks are walked as a whole: a checkpointed segment is replayed
//! first; a reversible one (Gomez et al., arXiv 1707.04585, section 3.2) replays `g`, subtracts, differentiates, replays `f`,
//! subtracts, differentiates. Nothing later mentions the values of the forward pass then, so the planner frees them there.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use crate::graph::{Adjoint, Block, Gradient, Graph, Replay, ReversibleBlock, Step, Value};
use crate::ops;
use crate::{Error, ErrorKind, Result};

const NAME: &str = "gradients";

impl Graph {
    /// The gradients of `loss` with respect to the values `wrt`, each of its value's shape and type, as ordinary steps of this
    /// graph (reverse-mode differentiation).
    ///
    /// `loss` has one element. Fails when it has more or is no float, when a value of `wrt` is not of this graph, is no float or
    /// has no influence on the loss, and when an op on the way has no backward pass; the error names it.
    pub fn gradients(&mut self, loss: Value, wrt: &[Value]) -> Result<Vec<Value>> {
        let gradients = self.gradients_where_any(loss, wrt)?;
        let found = |(&value, gradient): (&Value, Option<Value>)| {
            gradient.ok_or_else(|| {
                let desc = &self.values()[value.index()];
                Error::new(ErrorKind::Argument, NAME, "wrt")
                    .expecting("a value the loss depends on")
                    .but_found(format!("a {desc} that has no influence on it"))
            })
        };
        wrt.iter().zip(gradients).map(found).collect()
    }

    /// [`Graph::gradients`], with none for a value that has no influence on the loss.
    pub(crate) fn gradients_where_any(&mut self, loss: Value, wrt: &[Value]) -> Result<Vec<Option<Value>>> {
        let desc = self.desc(loss)?.clone();
        if desc.elements() != 1 {
            return Err(Error::new(ErrorKind::Shape, NAME, "loss").expecting("one element").but_found(desc));
        }
        for (argument, value) in [("loss", loss)].into_iter().chain(wrt.iter().map(|&value| ("wrt", value))) {
            let desc = self.desc(value)?;
            if !desc.dtype.is_float() {
                return Err(Error::new(ErrorKind::Dtype, NAME, argument)
                    .expecting("a float")
                    .but_found(desc));
            }
        }
        let steps = self.steps().len();
        let mut walk = Walk::new(self, wrt);
        let seed = ops::fill(walk.graph, desc, 1.0)?;
        walk.add(loss, Gradient::Whole(seed))?;
        walk.all(steps)?;
        wrt.iter().map(|&value| walk.total(value)).collect()
    }

    /// The gradients with respect to the values `wrt` where gradients of a loss with respect to other values are known: `seeds` are
    /// pairs of a value and its gradient, of the same shape and type. None for a value on which none of them depends.
    ///
    /// Fails where an op on the way has no backward pass.
    pub(crate) fn gradients_from(
        &mut self,
        seeds: &[(Value, Value)],
        wrt: &[Value],
    ) -> Result<Vec<Option<Value>>> {
        let steps = self.steps().len();
        let mut walk = Walk::new(self, wrt);
        for &(value, gradient) in seeds {
            walk.add(value, Gradient::Whole(gradient))?;
        }
        walk.all(steps)?;
        wrt.iter().map(|&value| walk.total(value)).collect()
    }
}

/// The state of one walk over a graph, last step first.
struct Walk<'g> {
    graph: &'g mut Graph,
    wrt: HashSet<Value>,
    /// Of each value, whether it depends on one of `wrt`.
    depends: Vec<bool>,
    /// What is known of each value's gradient so far: the sum of whole ones, and slices.
    gradients: HashMap<Value, Sum>,
    /// Values that the walk made anew, and what they equal.
    remade: HashMap<Value, Value>,
}

/// Contributions to the gradient of one value.
#[derive(Clone, Debug, Default)]
struct Sum {
    whole: Option<Value>,
    slices: Vec<Slice>,
}

#[derive(Clone, Copy, Debug)]
struct Slice {
    axis: usize,
    start: usize,
    value: Value,
}

impl<'g> Walk<'g> {
    fn new(graph: &'g mut Graph, wrt: &[Value]) -> Self {
        let wrt: HashSet<Value> = wrt.iter().copied().collect();
        let mut depends = vec![false; graph.values().len()];
        for value in &wrt {
            depends[value.index()] = true;
        }
        for step in graph.steps() {
            if !step.op.stops_gradients() && step.inputs.iter().any(|input| depends[input.index()]) {
                for output in &step.outputs {
                    depends[output.index()] |= graph.values()[output.index()].dtype.is_float();
                }
            }
        }
        Self { graph, wrt, depends, gradients: HashMap::new(), remade: HashMap::new() }
    }

    /// Walks over the first `count` steps.
    fn all(&mut self, count: usize) -> Result<()> {
        let blocks: HashMap<usize, Block> = self
            .graph
            .blocks()
            .iter()
            .filter(|block| !block.steps().is_empty())
            .map(|block| (block.steps().end, block.clone()))
            .collect();
        let mut end = count;
        while end > 0 {
            end = match blocks.get(&end) {
                Some(block) => {
                    match block {
                        Block::Checkpoint(steps) => self.checkpoint(steps.clone())?,
                        Block::Reversible(block) => self.reversible(block)?,
                    }
                    block.steps().start
                }
                None => {
                    self.step(end - 1)?;
                    end - 1
                }
            };
        }
        Ok(())
    }

    /// Walks over one step: the op appends the gradients of its inputs, once those of its outputs are complete.
    fn step(&mut self, index: usize) -> Result<()> {
        let Step { op, inputs, outputs, .. } = self.graph.steps()[index].clone();
        let wanted: Vec<bool> = inputs.iter().map(|&input| self.depends_on_wrt(input)).collect();
        if !wanted.contains(&true) {
            return Ok(());
        }
        let upstream = outputs.iter().map(|&output| self.total(output)).collect::<Result<Vec<_>>>()?;
        if upstream.iter().all(Option::is_none) {
            return Ok(());
        }
        let current = |values: &[Value]| values.iter().map(|&value| self.current(value)).collect();
        let adjoint = Adjoint {
            inputs: current(&inputs),
            outputs: current(&outputs),
            upstream,
            wanted: wanted.clone(),
        };
        let gradients = op.backward(self.graph, &adjoint)?;
        if gradients.len() != inputs.len() {
            return Err(Error::new(ErrorKind::Shader, op.name(), NAME)
                .expecting(format!("one for each of {} inputs", inputs.len()))
                .but_found(gradients.len()));
        }
        for ((input, wanted), gradient) in inputs.into_iter().zip(wanted).zip(gradients) {
            if wanted {
                self.add(input, gradient)?;
            }
        }
        Ok(())
    }

    /// Walks over a checkpointed segment: over what a replay of it appends.
    fn checkpoint(&mut self, steps: Range<usize>) -> Result<()> {
        if !self.reaches(steps.clone()) {
            return Ok(());
        }
        // What a reversible block behind the segment made anew need not be kept for it. What the segment makes itself is replayed.
        let made: HashSet<Value> = self.made_by(steps.clone());
        let read = self.graph.steps()[steps.clone()].iter().flat_map(|step| &step.inputs);
        let remade = |original: &Value| Some((*original, *self.remade.get(original)?));
        let mut substitutions: Vec<(Value, Value)> =
            read.filter(|value| !made.contains(value)).filter_map(remade).collect();
        substitutions.sort_by_key(|(original, _)| original.index());
        substitutions.dedup();
        let replay = self.replay(steps, &substitutions)?;
        self.replayed(&replay)?;
        for (original, remade) in substitutions {
            self.move_gradient(remade, original)?;
        }
        Ok(())
    }

    /// The results of a range of steps.
    fn made_by(&self, steps: Range<usize>) -> HashSet<Value> {
        self.graph.steps()[steps].iter().flat_map(|step| step.outputs.iter().copied()).collect()
    }

    /// Whether the loss is known to depend on a result of `steps`.
    fn reaches(&self, steps: Range<usize>) -> bool {
        self.made_by(steps).iter().any(|value| self.gradients.contains_key(value))
    }

    /// Counts what has reached `from` for `to`.
    fn move_gradient(&mut self, from: Value, to: Value) -> Result<()> {
        match self.gradients.remove(&from) {
            Some(sum) => self.add_sum(to, sum),
            None => Ok(()),
        }
    }

    /// Replays `steps` and tells which of the new values depend on `wrt`.
    fn replay(&mut self, steps: Range<usize>, substitutions: &[(Value, Value)]) -> Result<Replay> {
        let replay = self.graph.replay(steps, substitutions)?;
        self.depends.resize(self.graph.values().len(), false);
        for (original, replayed) in replay.replaced() {
            self.depends[replayed.index()] = self.depends[original.index()];
        }
        Ok(replay)
    }

    /// Walks over the steps of a replay. Gradients of the values they stand for become theirs, and those of `wrt` go back.
    fn replayed(&mut self, replay: &Replay) -> Result<()> {
        let made = self.made_by(replay.steps.clone());
        // In the order of values, so that equal graphs get equal steps.
        let mut replaced: Vec<(Value, Value)> =
            replay.replaced().filter(|(_, replayed)| made.contains(replayed)).collect();
        replaced.sort_by_key(|(original, _)| original.index());
        for &(original, replayed) in &replaced {
            self.move_gradient(original, replayed)?;
        }
        for index in replay.steps.clone().rev() {
            self.step(index)?;
        }
        for (original, replayed) in replaced {
            if self.wrt.contains(&original) {
                self.move_gradient(replayed, original)?;
            }
        }
        Ok(())
    }

    /// Walks over a reversible block, from its results alone.
    fn reversible(&mut self, block: &ReversibleBlock) -> Result<()> {
        let ([x1, x2], [y1, y2]) = (block.x, block.y);
        if !self.reaches(block.steps.clone()) {
            return Ok(());
        }
        let [y1_now, y2_now] = [self.current(y1), self.current(y2)];

        let g = self.replay(block.g.steps.clone(), &[(y1, y1_now)])?;
        let x2_now = self.remake(x2, y2_now, g.value(block.g.result))?;
        let dy2 = self.total(y2)?;
        self.branch(&g, block.g.result, dy2, (y1_now, y1))?;

        let f = self.replay(block.f.steps.clone(), &[(x2, x2_now)])?;
        let x1_now = self.remake(x1, y1_now, f.value(block.f.result))?;
        let dx1 = self.total(y1)?;
        self.branch(&f, block.f.result, dx1, (x2_now, x2))?;

        for (x, gradient) in [(x1, dx1), (x2, dy2)] {
            if let Some(gradient) = gradient.filter(|_| self.depends_on_wrt(x)) {
                self.add(x, Gradient::Whole(gradient))?;
            }
        }
        self.remade.extend([(x1, x1_now), (x2, x2_now)]);
        Ok(())
    }

    /// The input `x = y - branch` of a reversible block, made anew.
    fn remake(&mut self, x: Value, y: Value, branch: Value) -> Result<Value> {
        let remade = ops::subtract(self.graph, y, branch)?;
        self.depends.resize(self.graph.values().len(), false);
        self.depends[remade.index()] = self.depends_on_wrt(x);
        Ok(remade)
    }

    /// Walks over a replayed branch of a reversible block whose result has the gradient `upstream`. What reaches `read`, which the
    /// branch reads, counts for `original`.
    fn branch(
        &mut self,
        replay: &Replay,
        result: Value,
        upstream: Option<Value>,
        (read, original): (Value, Value),
    ) -> Result<()> {
        if let Some(upstream) = upstream.filter(|_| self.depends_on_wrt(result)) {
            self.add(replay.value(result), Gradient::Whole(upstream))?;
        }
        self.replayed(replay)?;
        if read != original { self.move_gradient(read, original) } else { Ok(()) }
    }

    fn depends_on_wrt(&self, value: Value) -> bool {
        self.depends.get(value.index()).is_some_and(|&depends| depends)
    }

    /// What holds the contents of `value` at this point of the walk.
    fn current(&self, value: Value) -> Value {
        self.remade.get(&value).copied().unwrap_or(value)
    }

    fn add_sum(&mut self, value: Value, sum: Sum) -> Result<()> {
        if let Some(whole) = sum.whole {
            self.add(value, Gradient::Whole(whole))?;
        }
        self.gradients.entry(value).or_default().slices.extend(sum.slices);
        Ok(())
    }

    /// Adds to the gradient of `value`.
    fn add(&mut self, value: Value, gradient: Gradient) -> Result<()> {
        match gradient {
            Gradient::None => {}
            Gradient::Whole(gradient) => {
                let (wanted, found) = (self.graph.desc(value)?, self.graph.desc(gradient)?);
                if wanted != found {
                    return Err(Error::new(ErrorKind::Shape, NAME, "gradient")
                        .expecting(wanted)
                        .but_found(found));
                }
                let before = self.gradients.entry(value).or_default().whole;
                let sum = match before {
                    None => gradient,
                    Some(before) => ops::add(self.graph, before, gradient)?,
                };
                self.gradients.entry(value).or_default().whole = Some(sum);
            }
            Gradient::Slice { axis, start, value: slice } => {
                self.gradients.entry(value).or_default().slices.push(Slice { axis, start, value: slice });
            }
        }
        Ok(())
    }

    /// The gradient of `value` as one value, if the loss depends on it.
    fn total(&mut self, value: Value) -> Result<Option<Value>> {
        let Some(sum) = self.gradients.get_mut(&value) else { return Ok(None) };
        let mut slices = std::mem::take(&mut sum.slices);
        slices.sort_by_key(|slice| (slice.axis, slice.start));
        if !slices.is_empty() {
            if let Some(joined) = self.joined(value, &slices)? {
                self.add(value, Gradient::Whole(joined))?;
            } else {
                let shape = self.graph.desc(value)?.shape.clone();
                for Slice { axis, start, value: slice } in slices {
                    let whole = ops::pad(self.graph, slice, axis, start, shape.dims()[axis])?;
                    self.add(value, Gradient::Whole(whole))?;
                }
            }
        }
        Ok(self.gradients[&value].whole)
    }

    /// Slices in order of their start, joined, when they make up all of `value`.
    fn joined(&mut self, value: Value, slices: &[Slice]) -> Result<Option<Value>> {
        let (axis, mut end) = (slices[0].axis, 0);
        for slice in slices {
            if slice.axis != axis || slice.start != end {
                return Ok(None);
            }
            end += self.graph.desc(slice.value)?.shape.dims()[axis];
        }
        if end != self.graph.desc(value)?.shape.dims()[axis] {
            return Ok(None);
        }
        let values: Vec<Value> = slices.iter().map(|slice| slice.value).collect();
        ops::concat(self.graph, &values, axis).map(Some)
    }
}
