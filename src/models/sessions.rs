//! The programs an encoder keeps: one for each size of batch it ran lately.

use super::BatchSize;
use crate::Result;
use crate::gpu::Session;
use crate::tensor::HostTensor;

/// How many sizes are kept; each has buffers of its own for everything but the weights.
const KEPT: usize = 8;

/// Sessions by size, the one used last at the end.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    kept: Vec<(BatchSize, Session)>,
}

impl Sessions {
    /// The session for `size`, holding `inputs`: one that is kept, or what `make` makes of them.
    pub(super) fn holding(
        &mut self,
        size: BatchSize,
        inputs: &[(&str, &HostTensor)],
        make: impl FnOnce() -> Result<Session>,
    ) -> Result<&mut Session> {
        let found = self.kept.iter().position(|(kept, _)| *kept == size);
        let used = match found {
            Some(index) => {
                let used = self.kept.remove(index);
                used.1.write(inputs)?;
                used
            }
            None => {
                // The oldest goes first, so that its memory is there for the new one.
                if self.kept.len() == KEPT {
                    self.kept.remove(0);
                }
                (size, make()?)
            }
        };
        let last = self.kept.len();
        self.kept.push(used);
        Ok(&mut self.kept[last].1)
    }
}
