//! The table of families: `model_type` of a `config.json` chooses a row.

use super::network::Family;
use super::{
    Task, albert, bert, conformer_ctc, convbert, deberta, gpt2, longformer, nystromformer, squeezebert, t5,
    transfo_xl, wav2vec2_conformer,
};
use crate::edit_distance::edit_distance;
use crate::weights::Fields;
use crate::{Error, ErrorKind, Result};

/// Tasks of encoders that were trained on masked words.
const ENCODER: &[Task] =
    &[Task::Embed, Task::Hidden, Task::Logits, Task::Classify, Task::Label, Task::Answer, Task::Pretrain];

/// Tasks of encoders without a head for pairs of texts.
const WITHOUT_PAIRS: &[Task] =
    &[Task::Embed, Task::Hidden, Task::Logits, Task::Classify, Task::Label, Task::Answer];

/// Every family, one row each.
pub const FAMILIES: &[Family] = &[
    Family { model_type: "bert", paper: "arXiv 1810.04805", tasks: ENCODER, declare: bert::declare_bert },
    Family {
        model_type: "roberta",
        paper: "arXiv 1907.11692",
        tasks: WITHOUT_PAIRS,
        declare: bert::declare_roberta,
    },
    Family { model_type: "albert", paper: "arXiv 1909.11942", tasks: ENCODER, declare: albert::declare },
    Family {
        model_type: "longformer",
        paper: "arXiv 2004.05150",
        tasks: WITHOUT_PAIRS,
        declare: longformer::declare,
    },
    Family {
        model_type: "nystromformer",
        paper: "arXiv 2102.03902",
        tasks: WITHOUT_PAIRS,
        declare: nystromformer::declare,
    },
    Family {
        model_type: "deberta",
        paper: "arXiv 2006.03654",
        tasks: WITHOUT_PAIRS,
        declare: deberta::declare_v1,
    },
    Family {
        model_type: "deberta-v2",
        paper: "arXiv 2006.03654, 2111.09543",
        tasks: WITHOUT_PAIRS,
        declare: deberta::declare_v2,
    },
    Family {
        model_type: "squeezebert",
        paper: "arXiv 2006.11316",
        tasks: WITHOUT_PAIRS,
        declare: squeezebert::declare,
    },
    Family {
        model_type: "convbert",
        paper: "arXiv 2008.02496",
        tasks: WITHOUT_PAIRS,
        declare: convbert::declare,
    },
    Family {
        model_type: "gpt2",
        paper: "Radford et al., Language Models are Unsupervised Multitask Learners, 2019",
        tasks: &[Task::Embed, Task::Hidden, Task::Logits, Task::Classify],
        declare: gpt2::declare,
    },
    Family {
        model_type: "t5",
        paper: "arXiv 1910.10683",
        tasks: &[Task::Embed, Task::Hidden, Task::Logits],
        declare: t5::declare,
    },
    Family {
        model_type: "transfo-xl",
        paper: "arXiv 1901.02860",
        tasks: &[Task::Hidden, Task::Logits],
        declare: transfo_xl::declare,
    },
    Family {
        model_type: "conformer-ctc",
        paper: "arXiv 2005.08100",
        tasks: &[Task::Hidden, Task::Transcribe],
        declare: conformer_ctc::declare,
    },
    Family {
        model_type: "wav2vec2-conformer",
        paper: "arXiv 2010.05171, 2006.11477",
        tasks: &[Task::Hidden, Task::Transcribe],
        declare: wav2vec2_conformer::declare,
    },
];

/// The family that `model_type` names.
///
/// Fails with [`ErrorKind::Unsupported`] when there is none, naming those there are and the nearest.
pub(super) fn family(fields: &Fields) -> Result<&'static Family> {
    let wanted = fields.text("model_type")?;
    if let Some(family) = FAMILIES.iter().find(|family| family.model_type == wanted) {
        return Ok(family);
    }
    let shown: String = wanted.chars().take(40).collect();
    let names: Vec<&str> = FAMILIES.iter().map(|family| family.model_type).collect();
    let error = Error::new(ErrorKind::Unsupported, fields.source().to_owned(), "model_type")
        .expecting(format!("one of {}", names.join(", ")))
        .but_found(format!("{shown:?}"));
    Err(match nearest(&shown, &names) {
        Some(name) => error.with_hint(format!("the nearest is {name}")),
        None => error,
    })
}

/// The name that takes the fewest changes of letters to become `wanted`, if these are at most half of it.
fn nearest<'n>(wanted: &str, names: &[&'n str]) -> Option<&'n str> {
    let letters = |name: &str| name.chars().collect::<Vec<_>>();
    let wanted = letters(wanted);
    let distances = names.iter().map(|name| (edit_distance(&wanted, &letters(name)), *name));
    let (distance, name) = distances.min_by_key(|(distance, _)| *distance)?;
    (2 * distance <= wanted.len()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found_and_a_far_one_is_none() {
        let names: Vec<&str> = FAMILIES.iter().map(|family| family.model_type).collect();
        assert_eq!(nearest("robert", &names), Some("roberta"));
        assert_eq!(nearest("gpt-2", &names), Some("gpt2"));
        assert_eq!(nearest("whisper", &names), None);
    }
}
