//! The table of mechanisms as `--help` shows it.

use foveate::nn::MECHANISMS;

/// A line for each mechanism: its document as an example, and what it is.
pub(crate) fn mechanisms() -> String {
    let line = |row: &foveate::nn::MechanismRow| format!("  {}\n      {}", row.example(), row.summary);
    MECHANISMS.iter().map(line).collect::<Vec<_>>().join("\n")
}
