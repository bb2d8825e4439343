//! The `foveate` command: what this machine offers (`info`), whether the kernels are right on it (`check`), which WGSL they are (`shader`), how fast they are
//! (`bench`), which kernel shapes are fastest (`tune`), trained models on texts (`run`), rules of attention on tensors (`attend`), what models' folders hold (`inspect`),
//! models for a task or from scratch (`train`), texts that language models write (`generate`), and how series go on (`forecast`).
//!
//! Every failure is one line on stderr, `error: <sentence>`, from the library's own [`foveate::Error`], but that nobody reads stdout any more;
//! a long list in it goes on in indented lines.

mod args;
mod attend;
mod bench;
mod catalogue;
mod chart;
mod check;
mod cosine;
mod device;
mod forecast;
mod generate;
mod info;
mod inspect;
mod limits;
mod measure;
mod memory;
mod output;
mod pipelines;
mod run;
mod shader;
mod sounds;
mod train;
mod tune;
mod tuning;

use std::process::ExitCode;

use clap::Parser;
use foveate::{Error, ErrorKind, Result};

use args::{Cli, Command, TrainCommand};

/// How a command that ran to its end came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// Everything held.
    Sound,
    /// A kernel gave wrong results.
    Unsound,
}

fn main() -> ExitCode {
    let command = match Cli::try_parse() {
        Ok(cli) => cli.command,
        Err(told) => return tell(&told),
    };
    match execute(command) {
        Ok(Verdict::Sound) => ExitCode::SUCCESS,
        Ok(Verdict::Unsound) => ExitCode::from(1),
        Err(error) if output::is_closed(&error) => ExitCode::from(output::CLOSED_CODE),
        Err(error) => {
            output::note(output::wrapped(&format!("error: {error}")));
            ExitCode::from(exit_code(&error))
        }
    }
}

/// Prints what clap has to say: help and the version, which are results, or what is wrong with the flags.
fn tell(told: &clap::Error) -> ExitCode {
    match told.print() {
        Err(error) if !told.use_stderr() && error.kind() == std::io::ErrorKind::BrokenPipe => {
            ExitCode::from(output::CLOSED_CODE)
        }
        Err(error) if !told.use_stderr() => {
            output::note(format!("error: output: stdout: {error}"));
            ExitCode::from(2)
        }
        _ => ExitCode::from(told.exit_code() as u8),
    }
}

fn execute(command: Command) -> Result<Verdict> {
    match command {
        Command::Info(args) => info::run(&args).map(|()| Verdict::Sound),
        Command::Check(args) => check::run(&args),
        Command::Shader(args) => shader::run(&args).map(|()| Verdict::Sound),
        Command::Bench(args) => bench::run(&args),
        Command::Tune(args) => tune::run(&args).map(|()| Verdict::Sound),
        Command::Run(args) => run::run(&args).map(|()| Verdict::Sound),
        Command::Attend(args) => attend::run(&args),
        Command::Inspect(args) => inspect::run(&args).map(|()| Verdict::Sound),
        Command::Train(TrainCommand::Classify(args)) => train::classify(&args).map(|()| Verdict::Sound),
        Command::Train(TrainCommand::FillMask(args)) => {
            train::fill_mask(&args.folders).map(|()| Verdict::Sound)
        }
        Command::Train(TrainCommand::Seq2Seq(args)) => train::seq2seq(&args).map(|()| Verdict::Sound),
        Command::Train(TrainCommand::Lm(args)) => train::lm(&args).map(|()| Verdict::Sound),
        Command::Train(TrainCommand::Ctc(args)) => train::ctc(&args).map(|()| Verdict::Sound),
        Command::Train(TrainCommand::Forecast(args)) => train::forecast(&args).map(|()| Verdict::Sound),
        Command::Generate(args) => generate::run(&args).map(|()| Verdict::Sound),
        Command::Forecast(args) => forecast::run(&args).map(|()| Verdict::Sound),
    }
}

/// 2 for what the user can put right, as clap has it for bad flags; 1 for what the machine or a kernel did wrong.
fn exit_code(error: &Error) -> u8 {
    match error.kind() {
        ErrorKind::Shader
        | ErrorKind::Device
        | ErrorKind::DeviceLost
        | ErrorKind::OutOfMemory
        | ErrorKind::Diverged
        | ErrorKind::NotFinite => 1,
        _ => 2,
    }
}
