//! Sequences of one batch: their layout, the inputs of the batch's graph, and its outputs cut into those of each sequence.

use std::borrow::Cow;
use std::ops::Range;

use super::head::Rows;
use super::{Item, Model, RESULT, Task};
use crate::nn::LayoutKind;
use crate::runtime::Outputs;
use crate::tensor::HostTensor;
use crate::{Result, Shape};

/// The fewest tokens a batch is planned for.
const SMALLEST_BATCH: usize = 16;

/// The extents a batch is planned for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BatchSize {
    /// How sequences lie: [`LayoutKind::Packed`] all in one row, one behind another; [`LayoutKind::Padded`] and [`LayoutKind::Rows`] each in a
    /// row of its own.
    pub layout: LayoutKind,
    /// Tokens of a row.
    pub time: usize,
    /// Sequences.
    pub count: usize,
    /// Of tasks with a result for each token, the tokens that results are asked for, in all rows.
    pub rows: usize,
    /// Of models that read them, global tokens of a row.
    pub globals: usize,
}

impl BatchSize {
    /// `count` packed sequences of `time` tokens together, without results for single tokens and without global ones.
    pub fn packed(time: usize, count: usize) -> Self {
        Self { layout: LayoutKind::Packed, time, count, rows: 0, globals: 0 }
    }

    /// Rows of the batch and tokens of a row.
    pub(super) fn shape(self) -> [usize; 2] {
        match self.layout {
            LayoutKind::Packed => [1, self.time],
            _ => [self.count, self.time],
        }
    }

    /// One of a few sizes that is at least this one, and at most half as long again; sequences of one length keep it. Of `batch_tokens` tokens
    /// at most, where that is no less than this one has; sequences that are padded have at most `most_tokens` each.
    pub(super) fn rounded_up(self, batch_tokens: usize, most_rows: usize, most_tokens: usize) -> Self {
        let rounded = |count: usize| if count == 0 { 0 } else { count.next_power_of_two() };
        let within = |size: usize, found: usize, most: usize| size.min(most.max(found));
        let time = within(rounded_time(self.time), self.time, batch_tokens);
        let (time, count) = match self.layout {
            LayoutKind::Packed => (time, rounded(self.count)),
            layout => {
                let time = if layout == LayoutKind::Padded { time.min(most_tokens) } else { self.time };
                (time, within(rounded(self.count), self.count, batch_tokens / time.max(1)))
            }
        };
        let rows = within(rounded(self.rows), self.rows, most_rows);
        Self { time, count, rows, globals: rounded(self.globals), ..self }
    }
}

/// The length that sequences of `time` tokens are padded to: one of a few, at most half as long again beyond the shortest, so that few programs
/// are made.
pub(crate) fn rounded_time(time: usize) -> usize {
    let step = (time.next_power_of_two() / 4).max(SMALLEST_BATCH);
    time.next_multiple_of(step)
}

/// An order of sequences in which those that may share a batch are neighbours: packed, as they are; else by their lengths.
pub(super) fn order(items: &[Item<'_>], layout: LayoutKind) -> Vec<usize> {
    let mut order: Vec<usize> = (0..items.len()).collect();
    if layout != LayoutKind::Packed {
        order.sort_by_key(|&number| items[number].ids.len());
    }
    order
}

/// The sequences from `start` on that fit a batch together: at least one, at most `batch_tokens` with their padding, and of other than packed
/// ones those of one length or bucket of lengths.
pub(super) fn next_batch(
    items: &[Item<'_>],
    layout: LayoutKind,
    start: usize,
    batch_tokens: usize,
) -> Range<usize> {
    let bucket = |item: &Item<'_>| match layout {
        LayoutKind::Packed => 0,
        LayoutKind::Padded => rounded_time(item.ids.len()),
        _ => item.ids.len(),
    };
    let first = items.get(start).map_or(0, bucket);
    let mut tokens = 0;
    let fitting = items[start..].iter().take_while(|item| {
        tokens += if layout == LayoutKind::Packed { item.ids.len() } else { first };
        tokens <= batch_tokens && bucket(item) == first
    });
    start..start + fitting.count().max(1)
}

/// The first sequences of `batch` that want at most `most_rows` scores together: at least one.
pub(super) fn fewer_rows(items: &[Item<'_>], batch: Range<usize>, most_rows: usize) -> Range<usize> {
    let mut rows = 0;
    let fitting = items[batch.clone()].iter().take_while(|item| {
        rows += item.rows();
        rows <= most_rows
    });
    batch.start..batch.start + fitting.count().max(1)
}

/// Sequences of one batch.
pub(super) struct Batch<'a> {
    pub(super) model: &'a Model,
    pub(super) items: &'a [Item<'a>],
    pub(super) layout: LayoutKind,
}

impl Batch<'_> {
    /// The least size that holds the sequences.
    pub(super) fn size(&self) -> BatchSize {
        let sum = |count: &dyn Fn(&Item<'_>) -> usize| self.items.iter().map(count).sum();
        let most = |count: &dyn Fn(&Item<'_>) -> usize| self.items.iter().map(count).max().unwrap_or(0);
        let (tokens, globals) =
            (|item: &Item<'_>| item.ids.len(), |item: &Item<'_>| self.globals(item).len());
        let rows = if self.model.has_results(Rows::Wanted) { sum(&|item| item.rows()) } else { 0 };
        let (time, globals) = match self.layout {
            LayoutKind::Packed => (sum(&tokens), sum(&globals)),
            _ => (most(&tokens), most(&globals)),
        };
        let time = match (self.layout, self.model.network().signature().padded_to) {
            (LayoutKind::Padded, Some(padded_to)) => padded_to.tokens,
            _ => time,
        };
        BatchSize { layout: self.layout, time, count: self.items.len(), rows, globals }
    }

    /// `size` with a row for every token of the batch, where hidden states are asked for: as many as would be there unpicked.
    pub(super) fn with_rows(&self, size: BatchSize) -> BatchSize {
        match self.model.task() {
            Task::Hidden => BatchSize { rows: size.shape().iter().product(), ..size },
            _ => size,
        }
    }

    fn globals<'i>(&self, item: &Item<'i>) -> Cow<'i, [usize]> {
        item.globals.map_or_else(|| self.model.default_globals(item.ids).into(), Cow::Borrowed)
    }

    /// Where each sequence begins, counted through the rows of a batch of `time` tokens each.
    fn starts(&self, time: usize) -> Vec<usize> {
        let mut packed = 0;
        let start = |(number, item): (usize, &Item<'_>)| match self.layout {
            LayoutKind::Packed => {
                packed += item.ids.len();
                packed - item.ids.len()
            }
            _ => number * time,
        };
        self.items.iter().enumerate().map(start).collect()
    }

    /// The graph's inputs for a batch of `size`. Padding tokens of a packed batch attend only to themselves; other batches are padded with
    /// the first text again, and with padding tokens that nothing attends to.
    pub(super) fn inputs(&self, size: BatchSize) -> Result<Vec<(&'static str, HostTensor)>> {
        let first = self.model.facts().first_position;
        let [rows, time] = size.shape();
        let padding = self.model.network().signature().padded_to.map_or(0, |padded_to| padded_to.id as i32);
        let (mut ids, mut types) = (vec![padding; rows * time], vec![0; rows * time]);
        let mut positions: Vec<i32> = match self.layout {
            LayoutKind::Packed => vec![first as i32; time],
            _ => (0..rows * time).map(|at| (first + at % time) as i32).collect(),
        };
        let (mut wanted, mut ends) = (vec![], vec![]);
        let mut globals: Vec<Vec<i32>> = vec![Vec::new(); rows];
        for (item, start) in self.items.iter().zip(self.starts(time)) {
            let length = item.ids.len();
            let place = |position: &usize| (start + position) as i32;
            match item.wanted {
                Some(places) => wanted.extend(places.iter().map(place)),
                None => wanted.extend((start..start + length).map(|row| row as i32)),
            }
            let in_row = |position: &usize| place(position) % time as i32;
            globals[start / time].extend(self.globals(item).iter().map(in_row));
            ends.push(place(&self.model.place_of_result(item.ids).unwrap_or_default()));
            for (position, &id) in item.ids.iter().enumerate() {
                ids[start + position] = id as i32;
                positions[start + position] = (first + position) as i32;
                types[start + position] = item.types.get(position).map_or(0, |&kind| kind as i32);
            }
        }
        if self.layout != LayoutKind::Packed {
            for row in self.items.len()..rows {
                [&mut ids, &mut types].into_iter().for_each(|all| all.copy_within(..time, row * time));
                globals[row] = globals[0].clone();
            }
        }
        let tensor = |data| HostTensor::i32([rows, time], data);
        let mut inputs =
            vec![("ids", tensor(ids)?), ("positions", tensor(positions)?), ("types", tensor(types)?)];
        inputs.extend(self.extents(size)?);
        if size.globals > 0 {
            globals.iter_mut().for_each(|places| places.resize(size.globals, -1));
            inputs.push(("globals", HostTensor::i32([rows, size.globals], globals.concat())?));
        }
        if self.model.picks_rows(size) {
            wanted.resize(size.rows, -1);
            inputs.push(("rows", HostTensor::i32([size.rows], wanted)?));
        }
        if self.model.ends().is_some() {
            ends.resize(size.count, -1);
            inputs.push(("ends", HostTensor::i32([size.count], ends)?));
        }
        Ok(inputs)
    }

    /// The input that tells sequences from one another and from padding.
    fn extents(&self, size: BatchSize) -> Result<Option<(&'static str, HostTensor)>> {
        let lengths = self.items.iter().map(|item| item.ids.len());
        match self.layout {
            LayoutKind::Packed => {
                let numbered = lengths.enumerate();
                let mut segments: Vec<i32> = numbered
                    .flat_map(|(number, length)| std::iter::repeat_n(number as i32, length))
                    .collect();
                let filling = size.time - segments.len();
                segments.extend((0..filling).map(|i| (size.count + i) as i32));
                Ok(Some(("segments", HostTensor::i32([1, size.time], segments)?)))
            }
            LayoutKind::Padded => {
                let mut lengths: Vec<i32> = lengths.map(|length| length as i32).collect();
                lengths.resize(size.count, lengths[0]);
                Ok(Some(("lengths", HostTensor::i32([size.count], lengths)?)))
            }
            _ => Ok(None),
        }
    }

    /// The results of a batch of `size` cut into those of each sequence.
    pub(super) fn unpack(&self, outputs: &Outputs, size: BatchSize) -> Result<Vec<Outputs>> {
        let mut unpacked = vec![Outputs::new(); self.items.len()];
        let results = self.model.declared.head.as_ref().map_or(&[][..], |head| &head.results);
        let starts = self.starts(size.time);
        for (name, output) in outputs {
            let dims = output.shape().dims();
            let width = dims[dims.len() - 1];
            let values = output.to_f32();
            let rows_of = match (self.model.task(), name == RESULT) {
                (Task::Embed, true) => Some(Rows::First),
                (Task::Hidden, true) if self.model.picks_rows(size) => Some(Rows::Wanted),
                _ => results.iter().find(|result| result.name == name).map(|result| result.rows),
            };
            let mut wanted = 0;
            for (number, item) in self.items.iter().enumerate() {
                // One row for each sequence, for each token that is asked for, or for every token of the batch.
                let (start, rows) = match rows_of {
                    Some(Rows::Wanted) => (wanted, item.rows()),
                    Some(_) => (number, 1),
                    None => (starts[number], item.ids.len()),
                };
                wanted += rows;
                let own = values[start * width..(start + rows) * width].to_vec();
                let is_single = rows_of.is_some_and(|rows| rows != Rows::Wanted);
                let shape: Shape = if is_single { [width].into() } else { [rows, width].into() };
                unpacked[number].insert(name.clone(), HostTensor::f32(shape, own)?);
            }
        }
        Ok(unpacked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_hold_what_fits_and_at_least_one_sequence() {
        let lengths = [3, 3, 3, 20, 1];
        let ids: Vec<Vec<u32>> = lengths.iter().map(|&length| vec![0; length]).collect();
        let ids: Vec<Item<'_>> = ids.iter().map(|ids| Item::new(ids)).collect();
        let packed = |start, tokens| next_batch(&ids, LayoutKind::Packed, start, tokens);
        assert_eq!([packed(0, 8), packed(2, 8), packed(3, 8), packed(4, 8)], [0..2, 2..3, 3..4, 4..5]);
        assert_eq!(fewer_rows(&ids, 0..3, 6), 0..2);
        assert_eq!(fewer_rows(&ids, 3..5, 6), 3..4);
    }

    #[test]
    fn other_batches_hold_one_length_or_one_bucket_of_them() {
        let lengths = [40, 3, 16, 3, 17, 20];
        let ids: Vec<Vec<u32>> = lengths.iter().map(|&length| vec![0; length]).collect();
        let items: Vec<Item<'_>> = ids.iter().map(|ids| Item::new(ids)).collect();
        let sorted = |layout| -> Vec<Item<'_>> {
            order(&items, layout).into_iter().map(|number| items[number]).collect()
        };
        assert_eq!(order(&items, LayoutKind::Padded), [1, 3, 2, 4, 5, 0]);
        let padded = sorted(LayoutKind::Padded);
        let next = |start, tokens| next_batch(&padded, LayoutKind::Padded, start, tokens);
        // Padded to 16, to 32, and to 48.
        assert_eq!([next(0, 100), next(3, 100), next(5, 100)], [0..3, 3..5, 5..6]);
        // Padding takes room, too.
        assert_eq!([next(0, 32), next(3, 63), next(5, 8)], [0..2, 3..4, 5..6]);
        let whole = sorted(LayoutKind::Rows);
        let next = |start| next_batch(&whole, LayoutKind::Rows, start, 100);
        assert_eq!([next(0), next(2), next(3)], [0..2, 2..3, 3..4]);
    }

    #[test]
    fn sizes_are_few_and_waste_little() {
        let mut sizes = std::collections::BTreeSet::new();
        for time in 1..=2048 {
            let size = BatchSize::packed(time, 1).rounded_up(2048, usize::MAX, 512);
            assert!(size.time >= time && size.time <= 2048);
            assert!(size.time - time <= SMALLEST_BATCH.max(time / 2), "{time}: {}", size.time);
            sizes.insert(size.time);
        }
        assert!(sizes.len() < 24, "{sizes:?}");
        let size = BatchSize { rows: 5, globals: 3, ..BatchSize::packed(100, 3) };
        let rounded = BatchSize { rows: 6, globals: 4, ..BatchSize::packed(128, 4) };
        assert_eq!(size.rounded_up(64, 6, 512), BatchSize { time: 100, ..rounded });
        assert_eq!(size.rounded_up(2048, 6, 512), rounded);
        let padded = BatchSize { layout: LayoutKind::Padded, ..size };
        assert_eq!(padded.rounded_up(2048, 6, 512), BatchSize { layout: LayoutKind::Padded, ..rounded });
        // Neither longer than the model reads, nor more than the batch may hold.
        let narrow = padded.rounded_up(350, 6, 110);
        assert_eq!((narrow.time, narrow.count), (110, 3));
        let whole = BatchSize { layout: LayoutKind::Rows, ..size }.rounded_up(2048, 6, 512);
        assert_eq!((whole.time, whole.count), (100, 4));
    }
}
