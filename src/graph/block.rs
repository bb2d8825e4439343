//! Ranges of steps whose values the backward pass makes anew in place of keeping them.

use std::ops::Range;

use super::{Graph, Value};
use crate::{Error, ErrorKind, Result};

/// How the backward pass comes by the values inside a block.
#[derive(Clone, Debug)]
pub(crate) enum Block {
    /// It replays the block's steps from what they read.
    Checkpoint(Range<usize>),
    /// It computes the block's inputs from its results.
    Reversible(Box<ReversibleBlock>),
}

/// `y1 = x1 + f(x2)`, `y2 = x2 + g(y1)`.
#[derive(Clone, Debug)]
pub(crate) struct ReversibleBlock {
    pub(crate) steps: Range<usize>,
    pub(crate) x: [Value; 2],
    pub(crate) y: [Value; 2],
    pub(crate) f: Branch,
    pub(crate) g: Branch,
}

/// One of the two functions of a reversible block: its steps, and its result.
#[derive(Clone, Debug)]
pub(crate) struct Branch {
    pub(crate) steps: Range<usize>,
    pub(crate) result: Value,
}

impl Block {
    pub(crate) fn steps(&self) -> Range<usize> {
        match self {
            Self::Checkpoint(steps) => steps.clone(),
            Self::Reversible(block) => block.steps.clone(),
        }
    }
}

impl Graph {
    /// Activation checkpointing (Chen et al., arXiv 1604.06174, section 4): the steps that `record` appends are one segment. `Graph::gradients` keeps
    /// only the inputs and outputs of a segment and computes the values in between again.
    ///
    /// With sqrt(n) segments of sqrt(n) layers each, n layers take the memory of about 2 sqrt(n). Fails as `record` does, and when `record` opens
    /// another segment inside this one.
    pub fn checkpoint<T>(&mut self, record: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let (start, blocks) = (self.steps.len(), self.blocks.len());
        let recorded = record(self)?;
        let steps = start..self.steps.len();
        self.append_block(blocks, Block::Checkpoint(steps))?;
        Ok(recorded)
    }

    /// Appends a block around the steps recorded since there were `blocks` of them.
    pub(crate) fn append_block(&mut self, blocks: usize, block: Block) -> Result<()> {
        if let Some(inner) = self.blocks.get(blocks) {
            return Err(Error::new(ErrorKind::Argument, "graph", "segment")
                .expecting("segments one behind the other")
                .but_found(format!("one at steps {:?} inside another, {:?}", inner.steps(), block.steps())));
        }
        self.blocks.push(block);
        Ok(())
    }

    /// The blocks in order; no two overlap.
    pub(crate) fn blocks(&self) -> &[Block] {
        &self.blocks
    }
}
