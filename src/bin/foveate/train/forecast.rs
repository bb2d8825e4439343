//! `foveate train forecast SERIES`: a forecaster from scratch.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use foveate::models::Forecaster;
use foveate::outputs::replace_file;
use foveate::processing::series::{COVARIATES, Series};
use foveate::train::{Description, Inputs, Mode, Start, Trainer, forecast_loss, random_of};
use foveate::weights::{read_file, write_model};
use foveate::{DType, Error, ErrorKind, Graph, HostTensor, Result, runtime};

use super::destination::Destination;
use super::fine_tune::named;
use super::rolling::{Forecasts, Rolling, naive};
use super::settings::RunSettings;
use super::{refused, signals, tell_of_compiling};
use crate::args::TrainForecastArgs;
use crate::device::Device;
use crate::forecast::{MODEL_TYPE, Paths, Scaled, Settings};
use crate::limits;
use crate::memory;
use crate::output;

/// Steps between lines that tell the loss.
const EVERY: u64 = 50;

pub(super) fn train(args: &TrainForecastArgs) -> Result<()> {
    let interrupted = signals::watch()?;
    let settings = RunSettings::from_nothing(&args.training, args.steps)?;
    let destination = Destination::open(&args.out)?;
    let source = args.series.display().to_string();
    let series = Series::read(&source, &read_file(&args.series, limits::TEXT)?)?;
    let rolling = rolling(args, &series)?;
    let kept = config(args, &series, &rolling);
    let forecaster = kept.forecaster()?;
    let scaled = Scaled::of(&series, &kept);
    let device = Device::open(&args.device, runtime::Device::Cpu)?;

    let length = rolling.context + rolling.horizon;
    let mut trainer = trainer(&forecaster, &settings, length, device.runtime())?;
    let bytes = trainer.bytes()?;
    memory::check("train", device.runtime(), "a step (--batch)", bytes)?;
    let paths = [rolling.context, rolling.horizon];
    let mut paths = Paths::new(&forecaster, trainer.weights(), paths, args.samples as usize, settings.seed);
    memory::check("train", device.runtime(), "the paths (--samples)", paths.bytes()?)?;
    tell_of_compiling(device.runtime());
    output::note(format!(
        "{} values, {} of them to forecast; a step takes {:.1} MiB",
        series.values().len(),
        rolling.windows * rolling.horizon,
        bytes as f64 / f64::from(1 << 20)
    ));
    let printed = steps(&mut trainer, &settings, &scaled, (&rolling, length), &interrupted)?;
    let step = trainer.step_count();
    let tensors = trainer.read_all(forecaster.declarations())?;
    let write = |folder: &Path, forecasts: Option<&Forecasts>| -> Result<()> {
        write_model(folder, &serde_json::json!(kept), &tensors)?;
        forecasts.map_or(Ok(()), |forecasts| write_forecasts(folder, forecasts))
    };
    // What was trained is written, whatever becomes of the rest.
    let forecasts = rolling.forecast(&mut paths, &series, &scaled, &interrupted);
    let out = destination.finish(|folder| write(folder, forecasts.as_ref().ok().and_then(Option::as_ref)))?;
    printed?;
    let Some(forecasts) = forecasts? else {
        output::note(format!(
            "interrupted: the model after step {step} is in {}, without forecasts",
            out.display()
        ));
        return Ok(());
    };
    output::print(format!("{}{step} steps: {}\n", forecasts.table(), out.display()))
}

/// The training of a forecaster from random weights, on windows of `length` values.
fn trainer(
    forecaster: &Forecaster,
    settings: &RunSettings,
    length: usize,
    device: &runtime::Device,
) -> Result<Trainer> {
    let (dtype, training) = settings.recording()?;
    if dtype != DType::F32 {
        return Err(Error::new(ErrorKind::Unsupported, "train", "--dtype")
            .expecting("f32, which forecasters compute in")
            .but_found(dtype));
    }
    let declarations = forecaster.declarations();
    memory::check_weights("train", device, declarations, dtype)?;
    let record = |graph: &mut Graph, mode: Mode| {
        let training = mode.prepare(graph, training)?;
        forecast_loss(graph, forecaster, [settings.batch, length], training)
    };
    let start = forecaster.initial_weights(settings.seed).collect::<Result<_>>()?;
    let start = Start::Weights(&start);
    Trainer::new(device, declarations, &record, start, Description::default(), settings.training()?)
}

/// What is forecast. Fails where the series is too short to train on a window before the first stretch, or has no day or week before it to compare with.
fn rolling(args: &TrainForecastArgs, series: &Series) -> Result<Rolling> {
    let values_of = |days: i64| ((days * 86_400 + series.interval() / 2) / series.interval()).max(1) as usize;
    let rolling = Rolling {
        context: args.context.map_or(values_of(7), |context| context as usize),
        horizon: args.horizon.map_or(values_of(1), |horizon| horizon as usize),
        windows: args.windows as usize,
    };
    let furthest = naive(series).map(|(_, back)| back).max().unwrap_or_default();
    let before = (rolling.context + rolling.horizon + 2).max(furthest);
    let needed = rolling.windows * rolling.horizon + before;
    if series.values().len() < needed {
        return Err(Error::new(ErrorKind::Argument, args.series.display().to_string(), "values")
            .expecting(format!(
                "at least {needed}: --context and --horizon, or a week, and --windows stretches behind them"
            ))
            .but_found(series.values().len()));
    }
    Ok(rolling)
}

/// What the folder says of the model: with mean and deviation of the values that it is trained on.
fn config(args: &TrainForecastArgs, series: &Series, rolling: &Rolling) -> Settings {
    let known = &series.values()[..rolling.first(series.values().len())];
    let count = known.len() as f64;
    let mean = known.iter().map(|&x| f64::from(x)).sum::<f64>() / count;
    let variance = known.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / count;
    let half_a_day = (43_200 / series.interval()).clamp(1, 1 << 15) as u32;
    Settings {
        model_type: MODEL_TYPE.to_owned(),
        width: args.width as usize,
        heads: args.heads as usize,
        layers: args.depth as usize,
        feed_forward: 4 * args.width as usize,
        kernel: args.kernel as usize,
        context: rolling.context,
        horizon: rolling.horizon,
        local: (!args.full).then(|| args.local.unwrap_or(half_a_day)),
        mean: mean as f32,
        deviation: variance.sqrt().max(1e-6) as f32,
        interval: series.interval(),
        span: series.span(),
    }
}

/// All steps, or as many as the user waits for; and whether what was told of them could be printed.
fn steps(
    trainer: &mut Trainer,
    settings: &RunSettings,
    series: &Scaled,
    (rolling, length): (&Rolling, usize),
    interrupted: &AtomicBool,
) -> Result<Result<()>> {
    let bar = output::progress(settings.steps as usize);
    let (start, mut losses) = (Instant::now(), Vec::new());
    while trainer.step_count() < settings.steps && !interrupted.load(Ordering::SeqCst) {
        let first = trainer.step_count() * settings.accumulate as u64;
        let batches = (first..first + settings.accumulate as u64)
            .map(|number| batch(series, settings, rolling, length, number))
            .collect::<Result<Vec<_>>>()?;
        let named: Vec<_> = batches.iter().map(|inputs| named(inputs)).collect();
        let named: Vec<_> = named.iter().map(|batch| &batch[..]).collect();
        losses.push(trainer.step(&named)?.loss);
        bar.inc(1);
        let step = trainer.step_count();
        if step == settings.steps || step.is_multiple_of(EVERY) {
            let loss = losses.iter().sum::<f32>() / losses.len() as f32;
            losses.clear();
            let seconds = start.elapsed().as_secs_f64();
            let printed =
                output::print_line(&bar, &format!("step {step:>5}  loss {loss:.4}  {seconds:.0} s"));
            if printed.is_err() {
                bar.finish_and_clear();
                return Ok(printed);
            }
        }
    }
    bar.finish_and_clear();
    Ok(Ok(()))
}

/// Windows that are drawn from what lies before the first stretch that is forecast.
fn batch(
    series: &Scaled,
    settings: &RunSettings,
    rolling: &Rolling,
    length: usize,
    number: u64,
) -> Result<Inputs> {
    let mut random = random_of(settings.seed, 0, number);
    let (mut seen, mut values) = (Vec::new(), Vec::new());
    for _ in 0..settings.batch {
        let start = 1 + random.next_below(rolling.first(series.values.len()) - length);
        seen.extend(series.seen(start, length, &series.values[start - 1..]));
        values.extend_from_slice(&series.values[start..start + length]);
    }
    let batch = settings.batch;
    Ok(vec![
        ("seen", HostTensor::f32([batch, length, 1 + COVARIATES], seen)?),
        ("values", HostTensor::f32([batch, length], values)?),
    ])
}

fn write_forecasts(folder: &Path, forecasts: &Forecasts) -> Result<()> {
    for (name, text) in [("forecasts.csv", forecasts.csv()), ("forecasts.svg", forecasts.svg()?)] {
        let path = folder.join(name);
        replace_file(&path, text).map_err(|error| refused(&path, "a file that can be written", &error))?;
    }
    Ok(())
}
