//! Sequences packed one behind another: the inputs of a batch's graph, and its outputs cut into those of each sequence.

use std::borrow::Cow;

use super::encoder::{BatchSize, Item};
use super::head::Rows;
use super::{Model, RESULT, Task};
use crate::Result;
use crate::runtime::Outputs;
use crate::tensor::HostTensor;

/// Sequences of one batch.
pub(super) struct Packed<'a> {
    pub(super) model: &'a Model,
    pub(super) items: &'a [Item<'a>],
}

impl Packed<'_> {
    pub(super) fn size(&self) -> BatchSize {
        let sum = |count: &dyn Fn(&Item<'_>) -> usize| self.items.iter().map(count).sum();
        BatchSize {
            time: sum(&|item| item.ids.len()),
            count: self.items.len(),
            rows: if self.model.has_results(Rows::Wanted) { sum(&|item| item.rows()) } else { 0 },
            globals: sum(&|item| self.globals(item).len()),
        }
    }

    fn globals<'i>(&self, item: &Item<'i>) -> Cow<'i, [usize]> {
        item.globals.map_or_else(|| self.model.default_globals(item.ids).into(), Cow::Borrowed)
    }

    /// The graph's inputs for a batch of `size`. What fills up are tokens that each see only themselves.
    pub(super) fn inputs(&self, size: BatchSize) -> Result<Vec<(&'static str, HostTensor)>> {
        let first = self.model.facts().first_position;
        let (mut ids, mut positions, mut types, mut segments) = (vec![], vec![], vec![], vec![]);
        let (mut rows, mut ends, mut globals) = (vec![], vec![], vec![]);
        for (segment, item) in self.items.iter().enumerate() {
            let (start, length) = (ids.len(), item.ids.len());
            let place = |position: &usize| (start + position) as i32;
            match item.wanted {
                Some(wanted) => rows.extend(wanted.iter().map(place)),
                None => rows.extend((start..start + length).map(|row| row as i32)),
            }
            globals.extend(self.globals(item).iter().map(place));
            ends.push(place(&self.model.place_of_result(item.ids).unwrap_or_default()));
            ids.extend(item.ids.iter().map(|&id| id as i32));
            types.extend(item.types.iter().map(|&kind| kind as i32));
            types.resize(ids.len(), 0);
            positions.extend((0..length).map(|position| (first + position) as i32));
            segments.extend(std::iter::repeat_n(segment as i32, length));
        }
        let filling = size.time - ids.len();
        segments.extend((0..filling).map(|i| (size.count + i) as i32));
        ids.resize(size.time, 0);
        types.resize(size.time, 0);
        positions.resize(size.time, first as i32);
        let tensor = |data| HostTensor::i32([1, size.time], data);
        let mut inputs = vec![
            ("ids", tensor(ids)?),
            ("positions", tensor(positions)?),
            ("types", tensor(types)?),
            ("segments", tensor(segments)?),
        ];
        if size.globals > 0 {
            globals.resize(size.globals, -1);
            inputs.push(("globals", HostTensor::i32([1, size.globals], globals)?));
        }
        if self.model.has_results(Rows::Wanted) {
            rows.resize(size.rows, -1);
            inputs.push(("rows", HostTensor::i32([size.rows], rows)?));
        }
        if self.model.ends().is_some() {
            ends.resize(size.count, -1);
            inputs.push(("ends", HostTensor::i32([size.count], ends)?));
        }
        Ok(inputs)
    }

    /// The batch's results cut into those of each sequence.
    pub(super) fn unpack(&self, outputs: &Outputs) -> Result<Vec<Outputs>> {
        let mut unpacked = vec![Outputs::new(); self.items.len()];
        let results = self.model.declared.head.as_ref().map_or(&[][..], |head| &head.results);
        for (name, output) in outputs {
            let dims = output.shape().dims();
            let width = dims[dims.len() - 1];
            let values = output.to_f32();
            let mut rest = &values[..];
            let rows_of = results.iter().find(|result| result.name == name).map(|result| result.rows);
            let is_single = match rows_of {
                Some(rows) => rows != Rows::Wanted,
                None => self.model.task == Task::Embed && name == RESULT,
            };
            for (item, unpacked) in self.items.iter().zip(&mut unpacked) {
                let rows = match rows_of {
                    _ if is_single => 1,
                    Some(_) => item.rows(),
                    None => item.ids.len(),
                };
                let (own, others) = rest.split_at(rows * width);
                rest = others;
                let shape = if is_single { vec![width] } else { vec![rows, width] };
                unpacked.insert(name.clone(), HostTensor::f32(shape, own.to_vec())?);
            }
        }
        Ok(unpacked)
    }
}
