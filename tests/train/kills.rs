//! Processes that do nothing but write checkpoints are killed, one or two of them at one file: it is whole, and nothing that a process was told
//! to be saved is lost.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write, stdout};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use foveate::ops::optimizer::Sgd;
use foveate::runtime::Device;
use foveate::train::{Description, Mode, Optimizer, Progress, Schedule, Settings, Start, Trainer};
use foveate::weights::{Checkpoint, Declarations};
use foveate::{Graph, HostTensor, Random, TensorDesc, ops};

/// Where a process of this program writes checkpoints, and what it is called there.
const WRITER: [&str; 2] = ["FOVEATE_WRITES_CHECKPOINTS", "FOVEATE_WRITER"];

/// How many times to kill, 20 by default.
const KILLS: &str = "FOVEATE_KILLS";

/// A checkpoint is half a megabyte.
const SHAPE: [usize; 2] = [256, 256];

/// A trainer that moves one matrix towards another.
fn trainer(writer: u64) -> Trainer {
    let mut declarations = Declarations::new();
    declarations.root().weight("w", SHAPE).unwrap();
    let start =
        BTreeMap::from([("w".to_owned(), HostTensor::f32(SHAPE, vec![1.0; SHAPE[0] * SHAPE[1]]).unwrap())]);
    let loss = |graph: &mut Graph, _: Mode| {
        let w = graph.parameter("w", TensorDesc::f32(SHAPE))?;
        let target = graph.input("target", TensorDesc::f32(SHAPE))?;
        ops::mean_squared_error(graph, w, target)
    };
    let description = Description { settings: writer.into(), ..Description::default() };
    let momentum = Sgd { momentum: 0.5, weight_decay: 0.0, nesterov: false };
    let settings = Settings::new(Optimizer::Sgd(momentum), Schedule::constant(0.5));
    Trainer::new(&Device::Cpu, &declarations, &loss, Start::Weights(&start), description, settings).unwrap()
}

#[test]
#[ignore = "a process that is to be killed, started by the test below"]
fn writes_until_it_is_killed() {
    let [Ok(path), Ok(writer)] = WRITER.map(std::env::var) else { return };
    let mut trainer = trainer(writer.parse().unwrap());
    let target = HostTensor::f32(SHAPE, vec![0.0; SHAPE[0] * SHAPE[1]]).unwrap();
    loop {
        trainer.step(&[&[("target", &target)]]).unwrap();
        trainer.save(&path).unwrap();
        println!("\nsaved {}", trainer.step_count());
        stdout().flush().unwrap();
    }
}

/// A process that writes, and the last step that it said is saved.
struct Writer {
    child: Child,
    saved: Arc<AtomicU64>,
    reader: thread::JoinHandle<()>,
}

impl Writer {
    fn start(path: &Path, name: u64) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "kills::writes_until_it_is_killed", "--ignored", "--nocapture"])
            .envs([(WRITER[0], path.as_os_str()), (WRITER[1], name.to_string().as_ref())])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let saved = Arc::new(AtomicU64::new(0));
        let (lines, told) = (BufReader::new(child.stdout.take().unwrap()).lines(), saved.clone());
        let reader = thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if let Some(step) = line.strip_prefix("saved ") {
                    told.store(step.parse().unwrap(), Ordering::SeqCst);
                }
            }
        });
        Self { child, saved, reader }
    }

    /// The last step that it said is saved.
    fn kill(mut self) -> u64 {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.reader.join().unwrap();
        self.saved.load(Ordering::SeqCst)
    }
}

/// Who wrote the checkpoint, which must be whole, and at which step.
fn found(path: &Path) -> (u64, u64) {
    let progress = Checkpoint::open(path).and_then(|checkpoint| Progress::of(&checkpoint));
    let progress = progress.unwrap_or_else(|error| panic!("{error}"));
    (progress.description.settings.as_u64().unwrap(), progress.step)
}

#[test]
fn kills_of_one_and_of_two_writers_lose_nothing() {
    let kills: u64 = std::env::var(KILLS).map_or(20, |kills| kills.parse().unwrap());
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("kills-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join("checkpoint.safetensors");
    let mut random = Random::new(kills);
    let mut wrote = 0;
    for round in 0..kills {
        let names = if round % 2 == 0 { vec![2 * round] } else { vec![2 * round, 2 * round + 1] };
        let before = path.exists().then(|| found(&path));
        let mut writers: Vec<Writer> = names.iter().map(|&name| Writer::start(&path, name)).collect();
        // Some are killed before they have written anything.
        if round % 8 != 7 {
            while writers.iter().all(|writer| writer.saved.load(Ordering::SeqCst) == 0) {
                let mut ended = writers.iter_mut().filter_map(|writer| writer.child.try_wait().unwrap());
                assert_eq!(ended.next(), None, "a writer ended by itself");
                thread::yield_now();
            }
            // Whoever reads meanwhile finds a whole one, too.
            found(&path);
        }
        thread::sleep(Duration::from_micros(random.next_below(20_000) as u64));
        let saved: Vec<u64> = writers.into_iter().map(Writer::kill).collect();

        if saved.iter().all(|step| *step == 0) && !path.exists() {
            continue;
        }
        let (name, step) = found(&path);
        match names.iter().position(|own| *own == name) {
            Some(own) => assert!(step >= saved[own], "step {step} after {} was saved", saved[own]),
            None => assert!(
                saved.iter().all(|step| *step == 0) && before == Some((name, step)),
                "{saved:?} were saved, and {name}'s step {step} is there"
            ),
        }
        wrote += u64::from(names.contains(&name));
        // What the killed have left, the next ones remove.
        let left = fs::read_dir(&folder).unwrap().count() - 1;
        assert!(left <= 2 * names.len().max(2), "{left} files beside the checkpoint");
    }
    assert!(wrote > kills / 2, "{wrote} of {kills} wrote anything");
    trainer(0).save(&path).unwrap();
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "nothing is left beside the checkpoint");
    fs::remove_dir_all(&folder).unwrap();
}
