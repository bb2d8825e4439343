//! Where a plan looks for numbers that are not finite.

use std::collections::HashMap;

use super::lower::Schedule;
use super::{BoundBuffer, Location, StepReport};
use crate::finite::{Finding, Watched, verdict};
use crate::kernel::{Choice, Operand, Tier};
use crate::ops::finite;
use crate::{Error, ErrorKind, Result};

/// Bytes of a row of [`crate::ops::finite`].
const ROW_BYTES: usize = 12;

/// The tensors that a plan looks at, and where in the buffer of findings the rows of each lie.
#[derive(Clone, Debug, Default)]
pub(super) struct Looks {
    list: Vec<Watched>,
    /// Of each, its first row.
    first: Vec<usize>,
    /// Of each, whether its memory is looked at; not of a view, whose rows are those of what it is a view of.
    is_own: Vec<bool>,
    rows: usize,
}

impl Looks {
    /// Looks at `list`. `root` is the value whose memory each value shares.
    pub(super) fn new(list: Vec<Watched>, root: &[usize]) -> Self {
        let (mut first, mut is_own, mut rows) = (Vec::new(), Vec::new(), 0);
        let mut rows_of: HashMap<usize, usize> = HashMap::new();
        for watched in &list {
            let root = root[watched.value.index()];
            is_own.push(!rows_of.contains_key(&root));
            let start = *rows_of.entry(root).or_insert(rows);
            first.push(start);
            rows = rows.max(start + finite::parts(watched.desc.elements()));
        }
        Self { list, first, is_own, rows }
    }

    /// Bytes of the buffer of findings.
    pub(super) fn bytes(&self) -> u64 {
        (self.rows * ROW_BYTES) as u64
    }

    /// Fails when one of `words`, which the dispatches left in the buffer, says so.
    pub(super) fn verdict(&self, words: &[u32]) -> Result<()> {
        let expected = self.bytes() as usize / size_of::<u32>();
        if words.len() != expected {
            return Err(Error::new(ErrorKind::Argument, "verdict", "words")
                .expecting(format!("{expected}, all of the buffer of findings"))
                .but_found(words.len()));
        }
        let finding = |(watched, &first): (&Watched, &usize)| {
            let end = first + finite::parts(watched.desc.elements());
            Finding::of_rows(watched.desc.dtype, &words[3 * first..3 * end])
        };
        let findings: Vec<Finding> = self.list.iter().zip(&self.first).map(finding).collect();
        verdict(&self.list, &findings)
    }
}

impl Schedule<'_, '_> {
    /// Appends the looks at tensors of which `when` tells that it is time.
    pub(super) fn append_looks(&mut self, when: impl Fn(&Watched) -> bool) -> Result<()> {
        let Some((looks, slot)) = self.looks else { return Ok(()) };
        let own = looks.list.iter().zip(&looks.first).zip(&looks.is_own).filter(|(_, own)| **own);
        for ((watched, &first), _) in own.filter(|((watched, _), _)| when(watched)) {
            let first = u32::try_from(first).map_err(|_| {
                Error::new(ErrorKind::Limit, "plan", "findings")
                    .expecting(format!("at most {} rows", u32::MAX))
                    .but_found(first)
            })?;
            for dispatch in finite::dispatches(&watched.desc, 0, (Operand::Output(0), first), self.caps)? {
                let bind = |&(name, operand): &(&'static str, Operand)| match operand {
                    Operand::InputPart { offset, bytes, .. } => {
                        BoundBuffer { offset, bytes, ..self.placement.whole(name, watched.value) }
                    }
                    Operand::Output(_) | Operand::Scratch(_) => {
                        BoundBuffer { name, location: Location::Slot(slot), offset: 0, bytes: looks.bytes() }
                    }
                    Operand::Input(_) => self.placement.whole(name, watched.value),
                };
                let buffers = dispatch.bindings.iter().map(bind).collect();
                self.look_workgroups += dispatch.workgroups;
                self.look_dispatches += 1;
                self.dispatch("finite", self.steps, &dispatch, buffers, false)?;
            }
        }
        Ok(())
    }

    /// The row of the report that the looks belong to, behind those of all steps.
    pub(super) fn report_looks(&mut self) {
        if self.looks.is_some() {
            self.report.push(StepReport {
                op: "finite",
                choice: Some(Choice {
                    tier: Tier::Streaming,
                    kernel: "looks for numbers that are not finite".into(),
                    reason: "finite checks are enabled".into(),
                }),
                workgroups: self.look_workgroups,
                dispatches: self.look_dispatches,
            });
        }
    }
}
