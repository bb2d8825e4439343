//! Replay: recording a range of steps once more, on other inputs.

use std::collections::HashMap;
use std::ops::Range;

use super::{Graph, Step, Value};
use crate::{Error, ErrorKind, Result};

/// What [`Graph::replay`] recorded.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Replay {
    /// The steps that were appended.
    pub steps: Range<usize>,
    values: HashMap<Value, Value>,
}

impl Replay {
    /// The value that stands for `original` in the replay: its substitute, what its step gave this time, or itself when no
    /// replayed step makes it.
    pub fn value(&self, original: Value) -> Value {
        self.values.get(&original).copied().unwrap_or(original)
    }

    /// Every value that has another one in its place, and that one.
    pub(crate) fn replaced(&self) -> impl Iterator<Item = (Value, Value)> {
        self.values.iter().map(|(&original, &replayed)| (original, replayed))
    }
}

impl Graph {
    /// Appends the steps of `range` once more, each value of `substitutions` replaced by the other of its pair.
    ///
    /// Since every op is a pure function of its inputs, dropout included, a replay without substitutions gives the same bits;
    /// what was replayed need not be kept in memory in between. A step that chooses ([`crate::graph::Op::is_choice`]) is not appended: what it
    /// gave stays. Fails when there is no such range, a pair differs in shape or type, or what a step chooses are floats.
    pub fn replay(&mut self, range: Range<usize>, substitutions: &[(Value, Value)]) -> Result<Replay> {
        if range.start > range.end || range.end > self.steps.len() {
            return Err(Error::new(ErrorKind::Argument, "replay", "range")
                .expecting(format!("a range of the {} steps", self.steps.len()))
                .but_found(format!("{range:?}")));
        }
        let mut values = HashMap::new();
        for &(original, substitute) in substitutions {
            let (wanted, found) = (self.desc(original)?, self.desc(substitute)?);
            if wanted != found {
                return Err(Error::new(ErrorKind::Shape, "replay", "substitution")
                    .expecting(wanted)
                    .but_found(found));
            }
            values.insert(original, substitute);
        }
        let start = self.steps.len();
        for index in range {
            let Step { op, inputs, outputs, is_own } = self.steps[index].clone();
            if op.is_choice() {
                self.check_choice(op.name(), &outputs)?;
                continue;
            }
            let inputs = inputs.iter().map(|input| *values.get(input).unwrap_or(input)).collect();
            let replayed: Vec<Value> =
                outputs.iter().map(|output| self.append_value(self.values[output.index()].clone())).collect();
            for (&output, &replayed) in outputs.iter().zip(&replayed) {
                values.entry(output).or_insert(replayed);
            }
            self.steps.push(Step { op, inputs, outputs: replayed, is_own });
        }
        Ok(Replay { steps: start..self.steps.len(), values })
    }

    /// Refuses floats as a choice: they would be kept where they must be computed anew, with the gradients of what they are made of.
    fn check_choice(&self, op: &'static str, outputs: &[Value]) -> Result<()> {
        for &output in outputs {
            let desc = self.desc(output)?;
            if desc.dtype.is_float() {
                return Err(Error::new(ErrorKind::NotDifferentiable, op, "outputs")
                    .expecting("integers, of a step that says it chooses")
                    .but_found(desc));
            }
        }
        Ok(())
    }
}
