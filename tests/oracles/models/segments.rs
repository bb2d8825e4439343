//! Recurrent models, segment by segment: log-probabilities and hidden states, whether memories are keys and values or what these are made of,
//! which the file has after each segment; and gradients of one.

use foveate::models::{Model, Segments, Task, Tokens};
use foveate::nn::Recorder;
use foveate::runtime::{Device, Runner, State, Store};
use foveate::{DType, Graph, HostTensor, Value, ops};

use super::{Expected, Folder, gradients};
use crate::Result;
use crate::compare::{Bound, Rows, compare};
use crate::devices::context;
use crate::report::Report;

/// What memories of a stream are called, before the number of the layer.
const LAYERS: &str = "memory.";

pub(super) fn run(folder: &Folder, task: Task) -> Result<Report> {
    let model = Model::open(&folder.path, task)?;
    let mut report = Report::default();
    for (name, device) in [("gpu", Device::Gpu(context().clone())), ("cpu", Device::Cpu)] {
        let mut add = |output: &str, found: &HostTensor, expected: &HostTensor, rows: &Rows, bound| {
            let deviation =
                compare(output, found, expected, rows, bound).map_err(|error| format!("{name}: {error}"))?;
            report.add(name, output, deviation);
            Ok(())
        };
        check(folder, &model, &device, &mut add)?;
    }
    folder.refuse_unread_outputs()?;
    Ok(report)
}

/// Compares an output with what the file has.
type Add<'a> = dyn FnMut(&str, &HostTensor, &HostTensor, &Rows, Bound) -> Result<()> + 'a;

fn check(folder: &Folder, model: &Model, device: &Device, add: &mut Add<'_>) -> Result<()> {
    let weights = model.load(DType::F32)?;
    let mut of_pairs = Segments::new(model, &weights, device)?.with_hidden();
    let mut segments = Segments::new(model, &weights, device)?.with_hidden().with_hidden_memory();
    let count = folder.inputs().filter(|name| name.ends_with("_input_ids")).count();
    // The segment that the labels are those of.
    let labelled =
        folder.noted("grad.safetensors", "log_probs of seg").map_or(count, |number| number as usize);
    let batch = folder.input("seg1_input_ids")?.shape().dims()[0];
    let (mut streams, mut stream_of_pairs) = (segments.start(batch)?, of_pairs.start(batch)?);
    for segment in 1..=count {
        let ids = folder.input(&format!("seg{segment}_input_ids"))?;
        if segment == labelled && folder.path.join("grad.safetensors").is_file() {
            let store = Store::upload(device, weights.iter())?;
            check_gradients(folder, model, &store, (streams.fork()?, ids), add)?;
        }
        let time = ids.shape().dims()[1];
        let ids: Vec<u32> = ids.to_f64().into_iter().map(|id| id as u32).collect();
        let rows: Vec<&[u32]> = ids.chunks(time).collect();
        let outputs = segments.run(&mut streams, &rows)?;
        for (name, found) in outputs.into_iter().chain(of_pairs.run(&mut stream_of_pairs, &rows)?) {
            let output = format!("out.seg{segment}.{name}");
            let (rows, bound) = folder.demands(&output)?;
            add(&output, &found, folder.io.get(&output)?, &rows, bound)?;
        }
        for name in streams.store().names() {
            let layer = name.strip_prefix(LAYERS).ok_or("a state is no memory")?;
            let output = format!("state.seg{segment}.mems.{layer}");
            let (rows, bound) = folder.demands(&output)?;
            let expected = batch_first(folder.io.get(&output)?)?;
            add(&output, &streams.store().read(name)?, &expected, &rows, bound)?;
        }
    }
    Ok(())
}

/// `[batch, time, width]` of `[time, batch, width]`.
fn batch_first(memory: &HostTensor) -> Result<HostTensor> {
    let [time, batch, width]: [usize; 3] = memory.shape().dims().try_into()?;
    let values = memory.to_f32();
    let row = |at: usize| values[at * width..(at + 1) * width].to_vec();
    let rows = (0..batch).flat_map(|item| (0..time).map(move |t| t * batch + item)).flat_map(row);
    Ok(HostTensor::f32([batch, time, width], rows.collect())?)
}

/// The mean of minus the log-probabilities at the labels of a segment behind `streams`, and its gradients.
fn check_gradients(
    folder: &Folder,
    model: &Model,
    store: &Store,
    (mut streams, ids): (State, &HostTensor),
    add: &mut Add<'_>,
) -> Result<()> {
    let mut graph = Graph::new();
    let tokens = Tokens::segments(&mut graph, ids.shape().dims().try_into()?)?;
    let scores = model.record_with(&mut Recorder::new(&mut graph, DType::F32), &tokens)?;
    let labels = folder.input("labels")?;
    let loss = mean_loss(&mut graph, scores, labels)?;
    let expected = gradients(folder, &mut graph, loss)?;
    for Expected { name, value, .. } in &expected {
        graph.output(name, *value)?;
    }
    let inputs = [("ids", ids), ("labels", labels)];
    let outputs = Runner::new(store).run_stream((), &mut streams, &inputs, || Ok(graph))?;
    for Expected { name, tensor, bound, .. } in &expected {
        add(name, &outputs[name], tensor, &Rows::All, *bound)?;
    }
    Ok(())
}

/// `[1]`: the mean over the labels that name a word.
fn mean_loss(graph: &mut Graph, scores: Value, labels: &HostTensor) -> Result<Value> {
    let [batch, time, vocabulary]: [usize; 3] = graph.desc(scores)?.shape.dims().try_into()?;
    let count = labels.to_f64().into_iter().filter(|&label| label >= 0.0).count();
    let labels = graph.input("labels", labels.desc())?;
    let chosen = ops::one_hot(graph, labels, vocabulary)?;
    let chosen = ops::multiply(graph, scores, chosen)?;
    let chosen = ops::reshape(graph, chosen, [1, batch * time * vocabulary])?;
    let sum = ops::sum(graph, chosen, &[1])?;
    let sum = ops::reshape(graph, sum, [1])?;
    Ok(ops::scale(graph, sum, -1.0 / count as f32)?)
}
