//! `foveate train forecast SERIES`: a forecaster from nothing.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use foveate::models::{Forecaster, ForecasterConfig};
use foveate::ops::attention::LogSparse;
use foveate::outputs::replace_file;
use foveate::processing::series::{COVARIATES, Series};
use foveate::train::{Description, Inputs, Mode, Start, Trainer, forecast_loss, random_of};
use foveate::weights::{read_file, write_tensors};
use foveate::{DType, Error, ErrorKind, Graph, HostTensor, Result, runtime};

use super::destination::Destination;
use super::fine_tune::named;
use super::rolling::{Forecasts, Rolling, Scaled};
use super::settings::RunSettings;
use super::{refused, signals, tell_of_compiling};
use crate::args::ForecastArgs;
use crate::device::Device;
use crate::limits;
use crate::memory;
use crate::output;

/// Steps between lines that tell the loss.
const EVERY: u64 = 50;

pub(super) fn train(args: &ForecastArgs) -> Result<()> {
    let interrupted = signals::watch()?;
    let settings = RunSettings::from_nothing(&args.training, args.steps)?;
    let destination = Destination::open(&args.out)?;
    let source = args.series.display().to_string();
    let series = Series::read(&source, &read_file(&args.series, limits::TEXT)?)?;
    let rolling = rolling(args, &series, settings.seed)?;
    let forecaster = Forecaster::new(config(args, &series, &rolling))?;
    let scaled = scaled(&series, rolling.first(series.values().len()));
    let device = Device::open(&args.device, runtime::Device::Cpu)?;

    let length = rolling.context + rolling.horizon;
    let (dtype, training) = settings.recording()?;
    if dtype != DType::F32 {
        return Err(Error::new(ErrorKind::Unsupported, "train", "--dtype")
            .expecting("f32, which forecasters compute in")
            .but_found(dtype));
    }
    memory::check_weights("train", device.runtime(), forecaster.declarations(), dtype)?;
    let record = |graph: &mut Graph, mode: Mode| {
        let training = mode.prepare(graph, training)?;
        forecast_loss(graph, &forecaster, [settings.batch, length], training)
    };
    let start = forecaster.initial_weights(settings.seed).collect::<Result<_>>()?;
    let (start, description) = (Start::Weights(&start), Description::default());
    let mut trainer = Trainer::new(
        device.runtime(),
        forecaster.declarations(),
        &record,
        start,
        description,
        settings.training()?,
    )?;
    let bytes = trainer.bytes()?;
    memory::check("train", device.runtime(), "a step (--batch)", bytes)?;
    tell_of_compiling(device.runtime());
    output::note(format!(
        "{} values, {} of them to forecast; a step takes {:.1} MiB",
        series.values().len(),
        rolling.windows * rolling.horizon,
        bytes as f64 / f64::from(1 << 20)
    ));
    let printed = steps(&mut trainer, &settings, &scaled, (&rolling, length), &interrupted)?;
    let step = trainer.step_count();
    // What was trained is written, whatever becomes of the rest.
    if interrupted.load(Ordering::SeqCst) && step < settings.steps {
        let out = destination.finish(|folder| write(folder, &forecaster, &trainer, &scaled, None))?;
        output::note(format!(
            "interrupted: the model after step {step} is in {}, without forecasts",
            out.display()
        ));
        return printed;
    }
    let forecasts = rolling.forecast(&forecaster, trainer.weights(), &scaled, series.a_day());
    let made = forecasts.as_ref().ok();
    let out = destination.finish(|folder| write(folder, &forecaster, &trainer, &scaled, made))?;
    printed?;
    output::print(format!("{}{step} steps: {}\n", forecasts?.table(), out.display()))
}

/// What is forecast. Fails where the series is too short to train on a window before the first stretch, or has no week before it.
fn rolling(args: &ForecastArgs, series: &Series, seed: u64) -> Result<Rolling> {
    let a_day = series.a_day();
    let rolling = Rolling {
        context: args.context.map_or(7 * a_day, |context| context as usize),
        horizon: args.horizon.map_or(a_day, |horizon| horizon as usize),
        windows: args.windows as usize,
        samples: args.samples as usize,
        seed,
    };
    let before = (rolling.context + rolling.horizon + 2).max(7 * a_day);
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

fn config(args: &ForecastArgs, series: &Series, rolling: &Rolling) -> ForecasterConfig {
    let local = args.local.unwrap_or((series.a_day() / 2).max(1) as u32);
    ForecasterConfig {
        covariates: COVARIATES,
        width: args.width as usize,
        heads: args.heads as usize,
        layers: args.depth as usize,
        feed_forward: 4 * args.width as usize,
        kernel: args.kernel as usize,
        length: rolling.context + rolling.horizon,
        log_sparse: (!args.full).then_some(LogSparse { local, restart: None }),
    }
}

/// The series with the mean and deviation of its first `count` values taken out.
fn scaled(series: &Series, count: usize) -> Scaled {
    let known = &series.values()[..count];
    let mean = known.iter().map(|&x| f64::from(x)).sum::<f64>() / count as f64;
    let variance = known.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / count as f64;
    let deviation = variance.sqrt().max(1e-6);
    let values = series.values().iter().map(|&x| ((f64::from(x) - mean) / deviation) as f32).collect();
    let covariates = series.covariates();
    Scaled { values, covariates, mean: mean as f32, deviation: deviation as f32 }
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

fn write(
    folder: &Path,
    forecaster: &Forecaster,
    trainer: &Trainer,
    series: &Scaled,
    forecasts: Option<&Forecasts>,
) -> Result<()> {
    let declared = forecaster.declarations().list().iter();
    let tensors = declared
        .map(|weight| Ok((weight.name.clone(), trainer.read(&weight.name)?)))
        .collect::<Result<Vec<_>>>()?;
    write_tensors(folder.join("model.safetensors"), &tensors, &[("format", "pt".to_owned())])?;
    let config = forecaster.config();
    let settings = serde_json::json!({
        "covariates": config.covariates,
        "width": config.width,
        "heads": config.heads,
        "layers": config.layers,
        "feed_forward": config.feed_forward,
        "kernel": config.kernel,
        "length": config.length,
        "local": config.log_sparse.map(|spec| spec.local),
        "mean": series.mean,
        "deviation": series.deviation,
    });
    let mut files = vec![("forecaster.json", format!("{settings:#}\n"))];
    if let Some(forecasts) = forecasts {
        files.push(("forecasts.csv", forecasts.csv()));
        files.push(("forecasts.svg", forecasts.svg()?));
    }
    for (name, text) in files {
        let path = folder.join(name);
        replace_file(&path, text).map_err(|error| refused(&path, "a file that can be written", &error))?;
    }
    Ok(())
}
