//! Texts of their own lengths, packed one behind another by an [`Encoder`], against what the file has of a padded batch. A causal model gets
//! the padding ids, too: its head must find the last token before them.

use std::collections::BTreeMap;

use foveate::models::{Encoder, Item, Model, Task};
use foveate::runtime::Device;
use foveate::{DType, HostTensor};

use super::generated::ids;
use super::{Folder, lengths};
use crate::Result;
use crate::compare::{Rows, compare};
use crate::report::Report;

/// Compares hidden states and results on the CPU: what packing means is the same on every device.
pub(super) fn check(folder: &Folder, model: &Model, task: Task) -> Result<Report> {
    let texts = ids(folder.input("input_ids")?);
    let time = texts[0].len();
    let mut lengths: Vec<usize> = lengths(folder)?.into_iter().map(|length| length as usize).collect();
    let is_causal = model.network().signature().is_causal;
    if is_causal {
        lengths.fill(time);
    }
    // Of a model whose tokens see padding, the file says what those texts give that have none.
    let sees_padding = !is_causal && folder.meta["padding_leak"].as_f64().is_some_and(|leak| leak > 0.0);
    let whole = |result: &HostTensor| {
        let rows = result.shape().dims().get(1).copied().unwrap_or(1);
        let kept = lengths.iter().flat_map(|&length| std::iter::repeat_n(length == time, rows)).collect();
        Rows::Of { axis: 1, kept }
    };
    let types = folder.io.find("in.token_type_ids").map(ids);
    let globals: Option<Vec<Vec<usize>>> = folder.io.find("in.global_attention_mask").map(|mask| {
        let marked = |row: Vec<u32>| (0..row.len()).filter(|&at| row[at] != 0).collect();
        ids(mask).into_iter().map(marked).collect()
    });
    let item = |at: usize| Item {
        types: types.as_ref().map_or(&[], |types| &types[at][..lengths[at]]),
        globals: globals.as_ref().map(|globals| &globals[at][..]),
        ..Item::new(&texts[at][..lengths[at]])
    };
    let items: Vec<Item<'_>> = (0..texts.len()).map(item).collect();
    let mut encoder = Encoder::new(model, &model.load(DType::F32)?, &Device::Cpu)?.with_hidden();
    let mut found: BTreeMap<String, Vec<HostTensor>> = BTreeMap::new();
    for outputs in encoder.run_items(&items)? {
        for (name, value) in outputs {
            if task == Task::Answer && name == "logits" {
                for (column, name) in ["start_logits", "end_logits"].into_iter().enumerate() {
                    let scores = value.to_f32().into_iter().skip(column).step_by(2).collect::<Vec<_>>();
                    found.entry(name.to_owned()).or_default().push(HostTensor::f32([scores.len()], scores)?);
                }
                continue;
            }
            found.entry(name).or_default().push(value);
        }
    }
    let mut report = Report::default();
    for (name, values) in found {
        let output = format!("out.{name}");
        let Some(expected) = folder.io.find(&output) else { continue };
        let (mut rows, bound) = folder.demands(&output)?;
        if sees_padding {
            rows = whole(expected);
        }
        let deviation = compare(&output, &batch(&values, expected)?, expected, &rows, bound)
            .map_err(|error| format!("packed: {error}"))?;
        report.add("cpu, packed", &output, deviation);
    }
    Ok(report)
}

/// `values` one behind another in the shape of `like`, whose items may have more tokens: zeros stand for these.
fn batch(values: &[HostTensor], like: &HostTensor) -> Result<HostTensor> {
    let item = like.shape().elements() / values.len();
    let mut all = Vec::with_capacity(like.shape().elements());
    for value in values {
        let floats = value.to_f32();
        let missing = item.checked_sub(floats.len()).ok_or("a text has more results than the file")?;
        all.extend(floats);
        all.extend(std::iter::repeat_n(0.0, missing));
    }
    Ok(HostTensor::f32(like.shape().clone(), all)?)
}
