//! `train ctc`, `run --task transcribe` and `train forecast`, from files to files.

use std::f32::consts::TAU;
use std::path::Path;

use serde_json::Value;

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

/// Recordings of `texts` with these beside them.
fn recordings(name: &str, texts: &[&str]) -> String {
    let folder = empty(name);
    for (number, text) in texts.iter().enumerate() {
        wav(&folder.join(format!("{number}.wav")), text, 16_000);
        std::fs::write(folder.join(format!("{number}.txt")), format!("{text}\n")).unwrap();
    }
    folder.display().to_string()
}

const SMALL: [&str; 14] = [
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
    let folder = recordings("speech", &["abc", "cab", "bbca"]);
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
    let folder = recordings("unheard", &["ab"]);
    let sound = format!("{folder}/0.wav");
    assert_refuses(&run(&["run", &model, "--task", "transcribe"]), &["WAV", "at least one recording"]);
    assert_refuses(&run(&["run", &model, "--task", "transcribe", &sound]), &["vocab.json"]);
    assert_refuses(&run(&["run", &model, "--task", "hidden", &sound]), &["WAV", "--task transcribe"]);
    assert_refuses(&run(&["run", &model, "--task", "hidden", "--ids", "1 2"]), &["a model of texts"]);

    let out = empty("unheard-model").display().to_string();
    let train = |folder: &str| run(&["train", "ctc", folder, "--out", &out, "--steps", "1"]);
    let nothing = empty("nothing-said");
    assert_refuses(&train(&nothing.display().to_string()), &["recordings, NAME.wav", "none"]);
    wav(&nothing.join("a.wav"), "ab", 16_000);
    assert_refuses(&train(&nothing.display().to_string()), &["a.txt"]);
    std::fs::write(nothing.join("a.txt"), " \n").unwrap();
    assert_refuses(&train(&nothing.display().to_string()), &["a.txt", "nothing but blanks"]);
    std::fs::write(nothing.join("a.txt"), "abababababababab").unwrap();
    assert_refuses(&train(&nothing.display().to_string()), &["target 0", "16 labels", "a.wav"]);
    std::fs::write(nothing.join("a.wav"), b"RIFF").unwrap();
    assert_refuses(&train(&nothing.display().to_string()), &["a.wav", "header", "a WAV file"]);
    assert!(std::fs::read_dir(&out).unwrap().next().is_none());
}

#[test]
fn a_series_is_forecast() {
    let folder = empty("series");
    let file = folder.join("waves.csv");
    let mut text = String::from("timestamp,value\n");
    for at in 0..240 {
        let value = 100.0 + 10.0 * (at as f32 * TAU / 8.0).sin();
        text += &format!("2000-01-{:02} {:02}:00,{value}\n", 1 + at / 8, 3 * (at % 8));
    }
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
    assert!(printed.contains("model          R0.5") && printed.contains("a week before"), "{printed}");
    let rows = std::fs::read_to_string(format!("{out}/forecasts.csv")).unwrap();
    assert_eq!(rows.lines().count(), 1 + 2 * 8);
    assert!(std::fs::read_to_string(format!("{out}/forecasts.svg")).unwrap().contains("</svg>"));

    let gap = folder.join("gap.csv");
    std::fs::write(&gap, format!("{days}{}", rest.split_once('\n').unwrap().1)).unwrap();
    let gap = gap.display().to_string();
    let train = |file: &str, out: &str| run(&["train", "forecast", file, "--out", out, "--windows", "40"]);
    let other = empty("no-forecast").display().to_string();
    assert_refuses(&train(&gap, &other), &["gap.csv line 226", "timestamp", "10800 s after"]);
    assert_refuses(&train(&file, &other), &["waves.csv", "at least"]);
}
