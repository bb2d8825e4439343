//! The command: a series, the values behind it, and how sure the model is of them.

use std::fmt;

use foveate::processing::series::Series;
use foveate::runtime::{self, Store};
use foveate::weights::read_file;
use foveate::{DType, Error, ErrorKind, Result};
use serde::Serialize;

use super::{Paths, QUANTILES, Scaled, Settings};
use crate::args::ForecastArgs;
use crate::device::{Device, DeviceReport};
use crate::limits;
use crate::memory;
use crate::output::{self, Delivery};

/// How a series goes on.
#[derive(Debug, Serialize)]
struct Report {
    version: &'static str,
    model: String,
    series: String,
    device: DeviceReport,
    paths: u32,
    results: Vec<Entry>,
}

/// A value that is not there yet.
#[derive(Debug, Serialize)]
struct Entry {
    timestamp: String,
    #[serde(rename = "q0.1")]
    low: f32,
    #[serde(rename = "q0.5")]
    median: f32,
    #[serde(rename = "q0.9")]
    high: f32,
}

pub(crate) fn run(args: &ForecastArgs) -> Result<()> {
    let json = args.output.open("forecast")?;
    output::check(&json, &args.files_read())?;
    let (settings, forecaster, weights) = Settings::open(&args.folder)?;
    let source = args.series.display().to_string();
    let series = Series::read(&source, &read_file(&args.series, limits::TEXT)?)?;
    check(&source, &series, &settings)?;
    let device = Device::open(&args.device, runtime::Device::Cpu)?;
    memory::check_weights("forecast", device.runtime(), forecaster.declarations(), DType::F32)?;
    let store = Store::upload(device.runtime(), weights.iter())?;
    let sizes = [settings.context, settings.horizon];
    let mut paths = Paths::new(&forecaster, &store, sizes, args.samples as usize, args.seed);
    memory::check("forecast", device.runtime(), "the paths (--samples)", paths.bytes()?)?;
    let count = series.values().len();
    let [low, median, high] = paths.quantiles(&Scaled::of(&series, &settings), count - settings.context)?;
    tell_of_age(&series, &settings);
    let entry = |step: usize| Entry {
        timestamp: series.timestamp(count + step),
        low: low[step],
        median: median[step],
        high: high[step],
    };
    let report = Report {
        version: env!("CARGO_PKG_VERSION"),
        model: args.folder.display().to_string(),
        series: source,
        device: device.report(),
        paths: args.samples,
        results: (0..settings.horizon).map(entry).collect(),
    };
    let mut delivery = Delivery::default();
    delivery.put(json.as_ref(), || output::json(&report));
    delivery.end(|| report.to_string())
}

/// Refuses a series that the model cannot go on from.
fn check(source: &str, series: &Series, settings: &Settings) -> Result<()> {
    let refused = |what| Error::new(ErrorKind::Argument, source.to_owned(), what);
    if series.interval() != settings.interval {
        return Err(refused("timestamp")
            .expecting(format!("{} s from one to the next, as the model was trained on", settings.interval))
            .but_found(format!("{} s", series.interval())));
    }
    let (needed, found) = (settings.context + 1, series.values().len());
    if found < needed {
        return Err(refused("values")
            .expecting(format!("at least {needed}, which the model forecasts from"))
            .but_found(found));
    }
    Ok(())
}

/// Says where times lie far from those that the model was trained on, whose age it reads.
fn tell_of_age(series: &Series, settings: &Settings) {
    let [first, last] = settings.span.map(|seconds| seconds as f64);
    let end = series.span()[1] as f64 + settings.horizon as f64 * settings.interval as f64;
    if !(first..=2.0 * last - first).contains(&end) {
        output::note(format!(
            "the forecast ends at {}, far from what the model was trained on, {} to {}: it is a guess",
            series.timestamp(series.values().len() - 1 + settings.horizon),
            Series::timestamp_of(settings.span[0]),
            Series::timestamp_of(settings.span[1])
        ));
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [low, median, high] = QUANTILES.map(|rho| format!("q{rho}"));
        writeln!(f, "{:<19}  {low:>12}  {median:>12}  {high:>12}", "timestamp")?;
        for Entry { timestamp, low, median, high } in &self.results {
            writeln!(f, "{timestamp}  {low:>12}  {median:>12}  {high:>12}")?;
        }
        Ok(())
    }
}
