//! How long a text may be that a sentence encoder reads.

use std::path::Path;

use super::sentence::{only, refuse_others};
use crate::Result;
use crate::weights::Fields;

/// What settings of the network are called: by class in versions before 1.0.
pub(crate) const TRANSFORMER: [&str; 7] = [
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
    "sentence_camembert_config.json",
    "sentence_albert_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
];

/// The longest sequence that the network of `folder` takes as a sentence encoder: what it was trained with, within the `most` its positions
/// allow.
pub(super) fn longest(folder: &Path, most: usize) -> Result<usize> {
    const KNOWN: [&str; 9] = [
        "max_seq_length",
        "do_lower_case",
        "unpad_inputs",
        "transformer_task",
        "module_output_name",
        "modality_config",
        "query_length",
        "document_length",
        "query_expansion",
    ];
    const ARGUMENTS: [&str; 8] = [
        "model_args",
        "model_kwargs",
        "tokenizer_args",
        "tokenizer_kwargs",
        "processor_kwargs",
        "config_args",
        "config_kwargs",
        "processing_kwargs",
    ];
    if let Some(config) = TRANSFORMER.iter().map(|name| folder.join(name)).find(|path| path.exists()) {
        let fields = Fields::open(config)?;
        refuse_others(&fields, &[&KNOWN[..], &ARGUMENTS].concat())?;
        only(&fields, "transformer_task", "feature-extraction")?;
        only(&fields, "module_output_name", "token_embeddings")?;
        if fields.has("modality_config") {
            let text = fields.object("modality_config")?.object("text")?;
            only(&text, "method", "forward")?;
            only(&text, "method_output_name", "last_hidden_state")?;
        }
        for absent in ["query_length", "document_length", "query_expansion"] {
            if fields.has(absent) {
                return Err(fields.refuse(absent, "null, as one vector is made of a text"));
            }
        }
        for arguments in ARGUMENTS {
            if fields.has(arguments) && fields.object(arguments)?.names().next().is_some() {
                return Err(fields.refuse(arguments, "none"));
            }
        }
        if fields.has("max_seq_length") {
            return Ok(fields.usize("max_seq_length", 1..=1 << 24)?.min(most));
        }
    }
    let config = folder.join("tokenizer_config.json");
    if !config.exists() {
        return Ok(most);
    }
    let fields = Fields::open(config)?;
    const LENGTH: &str = "model_max_length";
    // The library writes 10^30 for no limit.
    let length = match fields.get(LENGTH) {
        None => f64::MAX,
        Some(length) => length
            .as_f64()
            .filter(|&length| length >= 1.0)
            .ok_or_else(|| fields.refuse(LENGTH, "a number, at least 1"))?,
    };
    Ok(if length < most as f64 { length as usize } else { most })
}
