//! Sound: from WAV files to what models read of it, and from their scores to texts with times.
//!
//! ```text
//! Wave::open("a.wav")                           samples of one channel (feature `sound`)
//! Wave::resampled(rate)                         at the model's rate
//! recordings(folder, rate)                      every NAME.wav of a folder with its NAME.txt (feature `sound`)
//! SoundReader::read(&samples)                   what the model reads: normalised samples, or log-mel features
//! SoundEncoder::run(&sounds)                    scores of symbols for every frame
//! greedy(&scores, ..), prefix_beams(&scores, ..)  symbols with the frames that they were heard in
//! Symbols::text(&pieces, seconds)               words with times
//! RecognitionErrors::of(said, heard)            word and character error rates
//! ```

mod ctc;
mod errors;
mod features;
mod fourier;
mod reader;
#[cfg(feature = "sound")]
mod recordings;
mod symbols;
#[cfg(feature = "sound")]
mod wave;

pub use ctc::{Beam, Piece, greedy, prefix_beams};
pub use errors::RecognitionErrors;
pub use features::{LogMel, normalised, normalised_bins};
pub use reader::SoundReader;
#[cfg(feature = "sound")]
pub use recordings::{Recorded, recordings};
pub use symbols::{Symbols, Transcript, TranscriptWord};
#[cfg(feature = "sound")]
pub use wave::Wave;
