//! Flags of `attend`.

use std::path::PathBuf;

use clap::Args;

use super::{DeviceArgs, JsonArgs, file_read, mechanisms};
use crate::output::InputFile;

const ATTEND_NOTES: &str = r#"The tensors are q, k and v, [batch, time, head, channel] in F32 or F16, and those that the rule or mechanism names. With d_out or d_lse, the
gradients of the results, there are gradients, too. Results are out, lse (natural logarithm, -1e30 for a row that sees no key), dq,
dk, dv, and d_NAME for every float that the rule or mechanism names. Those that the file holds already are compared.

A rule, which is a mask with score modifiers, is JSON; strings are names of tensors:
  {"version": 1, "mask": {"any": [{"window": {"left": 4, "right": 4}}, {"globals": "positions"}]},
   "scores": [{"alibi": "slopes"}], "scale": 0.25, "softcap": 3.0}

Masks:
  "full"  "causal"  {"window": {"left": 5, "right": 2}}  {"band": {"left": 5}}  {"prefix": 9}
  {"dilated_window": {"half_width": 4, "dilations": [3]}}  {"dilated": {"left": 4, "right": 0, "dilations": [3]}}
  {"lengths": NAME}  {"segments": NAME}  {"global_keys": NAME}  {"global_queries": NAME}  {"globals": NAME}  {"dense": NAME}
  {"longformer": {"half_width": 4, "globals": NAME}}  {"log_sparse": {"local": 1, "restart": 64}}
  {"blocks": {"block_size": 8, "layout": NAME}}  {"block_diagonal": 8}
  {"block_entries": {"block_size": 8, "shape": [1, 5, 5], "entries": [[0, 2, 1]]}}
  {"strided": 8}  {"fixed": {"stride": 8, "expressivity": 2}}  {"columns": {"period": 8, "from": 6}}
  {"big_bird": {"block_size": 64, "window_blocks": 3, "global_blocks": 1, "random_blocks": 3, "seed": 0}}
  {"all": [MASK, ..]}  {"any": [MASK, ..]}  {"not": MASK}  {"top_left": MASK}
Scores:
  {"bias": NAME}  {"alibi": NAME}  {"gaussian": NAME}  {"adaptive_span": {"span": NAME, "ramp": 8.0}}
  {"buckets": {"table": NAME, "count": 16, "max_distance": 20, "bidirectional": true}}
  {"relative_keys": {"keys": NAME, "content_bias": NAME, "position_bias": NAME, "farthest_after": 0}}
  {"disentangled": {"keys": NAME, "queries": NAME, "span": 6, "max_distance": 40}}  {"top_left": SCORE}
The position of each item's first query among the keys, I32 [batch], beside "mask" and "scores":
  "query_start": NAME
The documentation of foveate::ops::attention::RuleDocument explains each.

In place of a rule, a mechanism, which has no lse. Padded rows have "lengths" (I32 [batch]), packed ones "segments" (I32 [batch, time]):
  {"version": 1, "mechanism": {"nystrom": {"landmarks": 8}, "scale": 0.25}, "lengths": NAME}
Mechanisms, with examples of settings:
{mechanisms}

Exit codes: 0 when all is well; 1 when --compare found results beyond the tolerance, a result is not finite or the device failed; 2 when a flag, a file or
the machine does not fit what was asked for."#;

#[derive(Debug, Args)]
#[command(after_help = ATTEND_NOTES.replace("{mechanisms}", &mechanisms()))]
pub(crate) struct AttendArgs {
    /// The mask and score modifiers, or the mechanism, as JSON.
    #[arg(long, value_name = "FILE.json")]
    pub(crate) rule: PathBuf,
    /// The file with q, k, v and the tensors that the rule names.
    #[arg(long, value_name = "FILE.safetensors")]
    pub(crate) tensors: PathBuf,
    /// Write the results, atomically; the metadata `foveate` says how they were made.
    #[arg(long, value_name = "FILE.safetensors")]
    pub(crate) out: Option<PathBuf>,
    /// Compare with the results that the file of tensors holds, and fail when one is too far off.
    #[arg(long)]
    pub(crate) compare: bool,
    /// The largest difference allowed, relative to the largest element [default: 2e-5 for F32, 7.8e-3 for F16].
    #[arg(long, value_name = "X", requires = "compare", allow_negative_numbers = true)]
    pub(crate) tolerance: Option<f64>,
    #[command(flatten)]
    pub(crate) device: DeviceArgs,
    #[command(flatten)]
    pub(crate) output: JsonArgs,
}

impl AttendArgs {
    /// All files that the flags name to be read.
    pub(crate) fn files_read(&self) -> Vec<InputFile<'_>> {
        let mut files = self.device.files_read();
        files.extend(file_read("--rule", Some(&self.rule)));
        files.extend(file_read("--tensors", Some(&self.tensors)));
        files
    }
}
