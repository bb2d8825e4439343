//! Which commands are submitted together.
//!
//! Systems take a GPU away from whoever holds it for too long: Windows resets it after 2 seconds with one piece of work (`TdrDelay`,
//! <https://learn.microsoft.com/windows-hardware/drivers/display/tdr-registry-keys>), macOS ends command buffers after some more. So a long
//! program is handed over in parts. A single dispatch is never cut: one that takes longer by itself ends with
//! [`DeviceLost`](crate::ErrorKind::DeviceLost).

use std::ops::Range;

use super::{Command, Plan};

/// Workgroups times the turns of their loops that are submitted together. A turn of the largest tiles multiplies and adds about a million
/// times, so that a GPU of half a teraflop per second is busy for about a second.
const MOST_TURNS: u64 = 1 << 19;

impl Plan {
    /// The plan's dispatches and copies in consecutive ranges, each to be submitted by itself
    /// ([`Program::encode_part`](crate::gpu::Program::encode_part)) so that no submission takes long. A short plan has one range.
    pub fn submissions(&self) -> Vec<Range<usize>> {
        parts(self.commands().iter().map(turns))
    }
}

/// How much a command has to do.
fn turns(command: &Command) -> u64 {
    match command {
        Command::Dispatch { workgroups, turns, .. } => {
            let workgroups: u64 = workgroups.iter().map(|&count| u64::from(count)).product();
            workgroups.saturating_mul((*turns).max(1))
        }
        Command::Copy { .. } => 1,
    }
}

fn parts(turns: impl Iterator<Item = u64>) -> Vec<Range<usize>> {
    let (mut parts, mut start, mut held, mut count) = (Vec::new(), 0, 0u64, 0);
    for (at, turns) in turns.enumerate() {
        if at > start && held.saturating_add(turns) > MOST_TURNS {
            parts.push(start..at);
            (start, held) = (at, 0);
        }
        held = held.saturating_add(turns);
        count = at + 1;
    }
    parts.push(start..count);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_is_one_part_and_much_is_cut_between_commands() {
        let lengths =
            |turns: &[u64]| -> Vec<usize> { parts(turns.iter().copied()).iter().map(Range::len).collect() };
        assert_eq!(lengths(&[3, 4, 5]), [3]);
        assert_eq!(lengths(&[]), [0]);
        let half = MOST_TURNS / 2;
        assert_eq!(parts([half, half, half, 1].into_iter()), [0..2, 2..4]);
        assert_eq!(parts([u64::MAX, 1, u64::MAX].into_iter()), [0..1, 1..2, 2..3]);
    }
}
