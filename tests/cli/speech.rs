//! `train ctc`, `run --task transcribe` and `train forecast`, from files to files.

use std::f32::consts::TAU;
use std::path::Path;

use foveate::models::{Forecaster, ForecasterConfig, Model, Task};
use foveate::processing::series::COVARIATES;
use foveate::weights::write_model;
use serde_json::{Value, json};

use super::folders::{empty, oracle};
use super::{assert_passes, assert_refuses, run};

/// A WAV file of 16-bit samples: for each letter a tenth of a second of a tone of its own, and silence behind it.
fn wav(path: &Path, text: &str, rate: u32) {
    let step = rate as usize / 10;
    let mut samples: Vec<i16> = Vec::new();
    for letter in text.bytes() {
        let hertz = 200.0 * f32::from(letter - b'a' + 1);
        samples.extend((0..step).map(|at| (8000.0 * (TAU * hertz * at as f32 / rate as f32).sin()) as i16));
        samples.extend(std::iter::repeat_n(0, step));
    }
    let data = 2 * samples.len() as u32;
    let mut bytes = b"RIFF".to_vec();
    bytes.extend((36 + data).to_le_bytes());
    bytes.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    bytes.extend(rate.to_le_bytes());
    bytes.extend((2 * rate).to_le_bytes());
    bytes.extend(b"\x02\0\x10\0data");
    bytes.extend(data.to_le_bytes());
    bytes.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
    std::fs::write(path, bytes).unwrap();
}

/// Recordings of `texts` in a new folder, with these beside them.
pub(crate) fn recordings(folder: &Path, texts: &[&str]) -> String {
    std::fs::create_dir_all(folder).unwrap();
    for (number, text) in texts.iter().enumerate() {
        wav(&folder.join(format!("{number}.wav")), text, 16_000);
        std::fs::write(folder.join(format!("{number}.txt")), format!("{text}\n")).unwrap();
    }
    folder.display().to_string()
}

/// A folder of a model that transcribes, of random weights.
pub(crate) fn transcriber(folder: &Path) -> String {
    std::fs::create_dir_all(folder).unwrap();
    for file in ["config.json", "model.safetensors"] {
        std::fs::copy(oracle("wav2vec2-conformer-ctc").join(file), folder.join(file)).unwrap();
    }
    let model = Model::open(folder, Task::Transcribe).unwrap();
    let symbols: serde_json::Map<String, Value> = (0..model.facts().vocab_size)
        .map(|number| (char::from(b'A' + number as u8).to_string(), number.into()))
        .collect();
    std::fs::write(folder.join("vocab.json"), Value::Object(symbols).to_string()).unwrap();
    folder.display().to_string()
}

/// A forecaster's folder, of random weights: 8 values from 8 of [`waves`].
pub(crate) fn forecaster(folder: &Path) -> String {
    std::fs::create_dir_all(folder).unwrap();
    let extents = ForecasterConfig {
        covariates: COVARIATES,
        width: 8,
        heads: 1,
        layers: 1,
        feed_forward: 8,
        kernel: 3,
        length: 16,
        log_sparse: None,
    };
    let weights = Forecaster::new(extents).unwrap().initial_weights(1).collect::<foveate::Result<Vec<_>>>();
    let config = json!({
        "model_type": "log-sparse-forecaster", "width": 8, "heads": 1, "layers": 1, "feed_forward": 8, "kernel": 3, "context": 8,
        "horizon": 8, "local": null, "mean": 100.0, "deviation": 7.0, "interval": 10_800, "span": [946_684_800, 948_000_000],
    });
    write_model(folder, &config, &weights.unwrap()).unwrap();
    folder.display().to_string()
}

/// A series of so many days, as a file: a wave, every three hours.
pub(crate) fn waves(days: usize) -> String {
    let line = |at: usize| format!("2000-01-{:02} {:02}:00,{}\n", 1 + at / 8, 3 * (at % 8), wave(at));
    format!("timestamp,value\n{}", (0..8 * days).map(line).collect::<String>())
}

/// The values of [`waves`].
fn wave(at: usize) -> f32 {
    100.0 + 10.0 * (at as f32 * TAU / 8.0).sin()
}

/// A small model to train.
pub(crate) const SMALL: [&str; 14] = [
    "--width",
    "24",
    "--depth",
    "1",
    "--heads",
    "2",
    "--kernel",
    "5",
    "--subsampling",
    "4",
    "--mels",
    "20",
    "--lr",
    "0.01",
];

#[test]
fn a_model_that_was_trained_on_recordings_transcribes_them() {
    let folder = recordings(&empty("speech"), &["abc", "cab", "bbca"]);
    let out = empty("heard").display().to_string();
    let mut arguments = vec!["train", "ctc", &folder, "--out", &out, "--steps", "120", "--stop-at", "0"];
    arguments.extend(SMALL);
    let printed = assert_passes(&run(&arguments));
    assert!(printed.contains("word error rate 0.000"), "{printed}");

    let (first, second) = (format!("{folder}/0.wav"), format!("{folder}/2.wav"));
    let printed = assert_passes(&run(&["run", &out, "--task", "transcribe", &first, &second]));
    let lines: Vec<&str> = printed.lines().collect();
    assert!(lines[0].ends_with("/0.wav (0.60 s): abc") && lines[2].ends_with("(0.80 s): bbca"), "{printed}");

    // At another rate, by beams, as JSON.
    let other = Path::new(&folder).join("other.wav");
    wav(&other, "abc", 22_050);
    let other = other.display().to_string();
    let printed =
        assert_passes(&run(&["run", &out, "--task", "transcribe", &other, "--beams", "4", "--json"]));
    let report: Value = serde_json::from_str(&printed).unwrap();
    let result = &report["results"][0];
    assert_eq!((&report["task"], &result["text"]), (&"transcribe".into(), &"abc".into()), "{report}");
    let word = &result["words"][0];
    let (start, end) = (word["start"].as_f64().unwrap(), word["end"].as_f64().unwrap());
    assert!((0.0..0.2).contains(&start) && (0.3..0.65).contains(&end), "{word}");
    assert!(result["log_probability"].as_f64().unwrap() < 0.0);
    assert!(report["times_real_time"].as_f64().unwrap() > 0.0);

    let inspected = assert_passes(&run(&["inspect", &out]));
    assert!(inspected.contains("transcribe"), "{inspected}");
}

#[test]
fn what_cannot_be_heard_is_refused() {
    let model = oracle("wav2vec2-conformer-ctc").display().to_string();
    let folder = recordings(&empty("unheard"), &["ab"]);
    let sound = format!("{folder}/0.wav");
    assert_refuses(&run(&["run", &model, "--task", "transcribe"]), &["WAV", "at least one recording"]);
    assert_refuses(&run(&["run", &model, "--task", "transcribe", &sound]), &["vocab.json"]);
    assert_refuses(&run(&["run", &model, "--task", "hidden", &sound]), &["WAV", "--task transcribe"]);
    assert_refuses(&run(&["run", &model, "--task", "hidden", "--ids", "1 2"]), &["a model of texts"]);

    let (heard, sounds) = (transcriber(&empty("unheard-named")), empty("unheard-sounds"));
    wav(&sounds.join("short.wav"), "", 16_000);
    let short = sounds.join("short.wav");
    let mut bytes = std::fs::read(&short).unwrap();
    bytes[40] = 20;
    bytes.extend([0; 20]);
    std::fs::write(&short, bytes).unwrap();
    let short = short.display().to_string();
    let both = run(&["run", &heard, "--task", "transcribe", &sound, &short, "--device", "cpu"]);
    assert_refuses(&both, &["short.wav: sound: expected", "samples", "found 10"]);

    let out = empty("unheard-model").display().to_string();
    let train = |folder: &str| run(&["train", "ctc", folder, "--out", &out, "--steps", "1"]);
    let nothing = empty("nothing-said");
    assert_refuses(&train(&nothing.display().to_string()), &["recordings, NAME.wav", "none"]);
    wav(&nothing.join("a.wav"), "ab", 16_000);
    assert_refuses(&train(&nothing.display().to_string()), &["a.txt"]);
    std::fs::write(nothing.join("a.txt"), " \n").unwrap();
    assert_refuses(&train(&nothing.display().to_string()), &["a.txt", "nothing but blanks"]);
    std::fs::write(nothing.join("a.txt"), "abababababababab").unwrap();
    assert_refuses(&train(&nothing.display().to_string()), &["a.wav: text: expected", "16 labels"]);
    std::fs::write(nothing.join("a.wav"), b"RIFF").unwrap();
    assert_refuses(&train(&nothing.display().to_string()), &["a.wav", "header", "a WAV file"]);
    assert!(std::fs::read_dir(&out).unwrap().next().is_none());
}

#[test]
fn a_series_is_forecast() {
    let folder = empty("series");
    let file = folder.join("waves.csv");
    let text = waves(30);
    let (days, rest) = text.split_at(text.find("2000-01-29").unwrap());
    std::fs::write(&file, days).unwrap();
    let (file, out) = (file.display().to_string(), empty("forecast").display().to_string());
    let arguments = [
        "train",
        "forecast",
        &file,
        "--out",
        &out,
        "--steps",
        "60",
        "--context",
        "16",
        "--windows",
        "2",
        "--samples",
        "5",
        "--width",
        "16",
        "--depth",
        "1",
        "--heads",
        "2",
        "--kernel",
        "3",
        "--lr",
        "0.01",
    ];
    let printed = assert_passes(&run(&arguments));
    let of_row = |name: &str| -> f64 {
        let row = printed
            .lines()
            .find(|line| line.starts_with(name))
            .unwrap_or_else(|| panic!("{name}: {printed}"));
        row.split_whitespace().skip_while(|&word| word != "R0.5").nth(1).unwrap().parse().unwrap()
    };
    // A week is a whole number of waves. Whoever says 100 all the time is off by 0.064.
    assert!(of_row("model") < 0.02 && of_row("a week before") == 0.0, "{printed}");
    let mut rows = csv::Reader::from_path(format!("{out}/forecasts.csv")).unwrap();
    let rows: Vec<Vec<f32>> = rows.deserialize().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 2 * 8);
    for (at, row) in (0..).zip(&rows) {
        let truth = wave(8 * 26 + at);
        // The wave is not quite the same after a day in f32.
        assert!(row[0] == truth && row[4..].iter().all(|x| (x - truth).abs() < 1e-3), "{at}: {row:?}");
        assert!(row[1] < row[2] && row[2] < row[3] && (row[2] - truth).abs() < 5.0, "{at}: {row:?}");
    }
    assert!(std::fs::read_to_string(format!("{out}/forecasts.svg")).unwrap().contains("</svg>"));

    // The folder goes on from any series of such an interval.
    let shorter = folder.join("shorter.csv");
    std::fs::write(&shorter, waves(5)).unwrap();
    let shorter = shorter.display().to_string();
    let printed = assert_passes(&run(&["forecast", &out, &shorter, "--json"]));
    let report: Value = serde_json::from_str(&printed).unwrap();
    let results = report["results"].as_array().unwrap();
    assert_eq!((results.len(), &results[0]["timestamp"]), (8, &"2000-01-06 00:00:00".into()));
    for (at, result) in (40..).zip(results) {
        let [low, median, high] = ["q0.1", "q0.5", "q0.9"].map(|name| result[name].as_f64().unwrap());
        assert!(low < median && median < high, "{result}");
        assert!((median - f64::from(wave(at))).abs() < 5.0, "{result}, not {}", wave(at));
    }
    assert_eq!(assert_passes(&run(&["forecast", &out, &shorter])).lines().count(), 1 + 8);
    let other = folder.join("other.csv");
    std::fs::write(&other, waves(2)).unwrap();
    assert_refuses(
        &run(&["forecast", &out, &other.display().to_string()]),
        &["other.csv", "at least 17", "16"],
    );
    std::fs::write(&other, "timestamp,value\n2000-01-01,1\n2000-01-02,2\n").unwrap();
    assert_refuses(
        &run(&["forecast", &out, &other.display().to_string()]),
        &["other.csv", "10800 s", "86400 s"],
    );
    let text_model = oracle("gpt2").display().to_string();
    assert_refuses(&run(&["forecast", &text_model, &shorter]), &["model_type", "train forecast", "gpt2"]);
    for command in ["run", "inspect", "generate"] {
        assert_refuses(&run(&[command, &out]), &["log-sparse-forecaster", "`foveate forecast`"]);
    }

    let gap = folder.join("gap.csv");
    std::fs::write(&gap, format!("{days}{}", rest.split_once('\n').unwrap().1)).unwrap();
    let gap = gap.display().to_string();
    let train = |file: &str, out: &str| run(&["train", "forecast", file, "--out", out, "--windows", "40"]);
    let other = empty("no-forecast").display().to_string();
    assert_refuses(&train(&gap, &other), &["gap.csv line 226", "timestamp", "10800 s after"]);
    assert_refuses(&train(&file, &other), &["waves.csv", "at least"]);
}
