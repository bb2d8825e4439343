//! The most bytes of the files that commands read, by what they hold; the library bounds those of a model's folder. All are regular files
//! ([`foveate::weights::read_file`]): pipes come in by stdin, where a command takes it.

/// A text, a table of examples or a file of lines, all of which is kept.
pub(crate) const TEXT: u64 = 1 << 30;

/// Activations of `foveate bench`.
pub(crate) const ACTIVATIONS: u64 = 4 << 30;

/// What a driver compiled.
pub(crate) const PIPELINE_CACHE: u64 = 256 << 20;

/// A tuning profile: a hundred times what is written.
pub(crate) const PROFILE: u64 = 4 << 20;

/// The curve of a training: a hundred bytes a step for ten million steps.
pub(crate) const CURVE: u64 = 1 << 30;
