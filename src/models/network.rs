//! The parts of every family: a network that records its hidden states, and the heads that its files may have.

use std::fmt::Debug;
use std::sync::Arc;

use super::head::Head;
use super::{Facts, Labels, Signature, Sound, SourceTokens, Task, Tokens};
use crate::graph::Value;
use crate::nn::{Layout, Recorder};
use crate::ops::Activation;
use crate::weights::{Declarations, Fields, Scope};
use crate::{Error, ErrorKind, Result};

/// A model without its head: weights declared once, recorded into any number of graphs.
pub trait Network: Debug + Send + Sync {
    /// The sizes of the model.
    fn facts(&self) -> &Facts;

    /// The inputs that the model reads, and the layouts of batches that it takes.
    fn signature(&self) -> Signature;

    /// Records the network: its last hidden state, `[batch, time, width]`, which heads read.
    ///
    /// [`Model`](super::Model) has checked that `tokens` are what [`Network::signature`] says. Fails as its ops do.
    fn record(&self, recorder: &mut Recorder<'_>, tokens: &Tokens) -> Result<Value>;

    /// The last hidden state of sound, `[batch, frames, width]`, of networks that read it ([`Signature::sound`]).
    ///
    /// Fails as its ops do, and for networks of tokens.
    fn record_sound(&self, _: &mut Recorder<'_>, _: &Sound) -> Result<Value> {
        Err(Error::new(ErrorKind::Unsupported, self.facts().architecture, "input")
            .expecting("tokens")
            .but_found("sound"))
    }

    /// Values that depend on weights alone, by name. Where weights are fixed ([`Recorder::with_fixed_weights`]) they are computed once, and
    /// [`Network::record`] reads them as parameters, for segments of at most `time` tokens. Most networks have none.
    ///
    /// Fails as its ops do.
    fn derive(&self, _: &mut Recorder<'_>, _time: usize) -> Result<Vec<(String, Value)>> {
        Ok(Vec::new())
    }

    /// Initialises the caches of `streams` streams of a recurrent network, with the [`Signature::memory`] rows that are seen before a stream's first
    /// token. Records nothing where these rows are zeros.
    ///
    /// Fails as its ops do.
    fn begin(&self, _: &mut Recorder<'_>, _layout: &Layout, _streams: usize) -> Result<()> {
        Ok(())
    }

    /// Records the encoder of an encoder-decoder: keys and values of source texts for every layer of the decoder, each `[batch, time, heads, size]`.
    /// Empty for other networks.
    ///
    /// Fails as its ops do.
    fn encode(&self, _: &mut Recorder<'_>, _: &SourceTokens) -> Result<Vec<[Value; 2]>> {
        Ok(Vec::new())
    }
}

/// A network with the head that a task needs.
#[derive(Clone, Debug)]
pub(super) struct Declared {
    pub(super) network: Arc<dyn Network>,
    pub(super) head: Option<Head>,
}

/// A family of models: one `model_type` of Hugging Face's configurations.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// `model_type` in `config.json`.
    pub model_type: &'static str,
    /// Where the model is described.
    pub paper: &'static str,
    /// What its files may be used for, provided that they have the head.
    pub tasks: &'static [Task],
    pub(super) declare: fn(&mut Declaring<'_>) -> Result<Declared>,
}

/// What a family declares its weights with.
pub(super) struct Declaring<'a> {
    pub(super) fields: &'a Fields,
    pub(super) task: Task,
    declarations: &'a mut Declarations,
    /// Whether the files have names below this one.
    has_prefix: &'a dyn Fn(&str) -> bool,
}

/// Names, below the root, of everything that families put beside or on top of the network itself.
const HEADS: [&str; 15] = [
    "cls",
    "lm_head",
    "predictions",
    "sop_classifier",
    "classifier",
    "pre_classifier",
    "pooler",
    "qa_outputs",
    "score",
    "crit",
    "lm_predictions",
    "mask_predictions",
    "deberta.pooler",
    "generator_predictions",
    "generator_lm_head",
];

/// Whether a tensor of this name is a head's that files put beside the network, not below its prefix. Where there is no prefix, poolers are the
/// network's own.
pub(crate) fn is_beside_network(name: &str) -> bool {
    let first = name.split('.').next().unwrap_or_default();
    first != "pooler" && HEADS.contains(&first)
}

impl<'a> Declaring<'a> {
    pub(super) fn new(
        fields: &'a Fields,
        task: Task,
        declarations: &'a mut Declarations,
        has_prefix: &'a dyn Fn(&str) -> bool,
    ) -> Self {
        Self { fields, task, declarations, has_prefix }
    }

    /// The outermost scope, where heads are.
    pub(super) fn root(&mut self) -> Scope<'_> {
        self.declarations.root()
    }

    /// The scope of the network itself: below `prefix` where files put a head beside it.
    pub(super) fn base(&mut self, prefix: &str) -> Scope<'_> {
        let path = if (self.has_prefix)(prefix) { prefix } else { "" };
        self.declarations.root().into_at(path)
    }

    /// Files may have heads that the task does not need.
    pub(super) fn pass_over_heads(&mut self, prefix: &str) {
        self.base(prefix).ignore("pooler");
        let mut root = self.declarations.root();
        HEADS.iter().for_each(|head| root.ignore(head));
    }

    /// Whether the decoder of a head that scores words has the embeddings' weights.
    pub(super) fn ties_words(&self) -> Result<bool> {
        self.fields.bool_or("tie_word_embeddings", true)
    }

    /// The number of labels of a classifier; 0 for tasks without labels, whatever the configuration says of them.
    pub(super) fn labels(&self) -> Result<usize> {
        match self.task {
            Task::Classify | Task::Label => Ok(Labels::read(self.fields)?.names.len()),
            _ => Ok(0),
        }
    }

    /// An error for a task that the family does not have.
    pub(super) fn no_head(&self, architecture: &str) -> Error {
        Error::new(ErrorKind::Unsupported, self.fields.source().to_owned(), "task")
            .expecting(format!("a task that {architecture} has a head for"))
            .but_found(self.task.name())
    }
}

/// The most layers of a model, whatever its configuration says.
pub(super) const MOST_LAYERS: usize = 1024;

/// Where nothing but distances is known of positions, texts may have any length. What a number of tokens is bounded by.
pub(super) const MOST_TOKENS: usize = 1 << 24;

/// A number of heads that divides `width`, into heads that attention can take.
pub(super) fn head_count(fields: &Fields, field: &str, width: usize) -> Result<usize> {
    let heads = fields.usize(field, 1..=width)?;
    if !width.is_multiple_of(heads) {
        return Err(fields.refuse(field, format!("a divisor of the width, {width}")));
    }
    let most = crate::ops::attention::MAX_HEAD_SIZE;
    if width / heads > most {
        return Err(fields.refuse(field, format!("heads of at most {most} channels")));
    }
    Ok(heads)
}

/// Activations by their names in Hugging Face's configurations
/// (<https://github.com/huggingface/transformers/blob/v4.35.2/src/transformers/activations.py>).
pub(super) const ACTIVATIONS: [(&str, Activation); 20] = [
    ("gelu", Activation::Gelu),
    ("gelu_10", Activation::GeluClipped { low: -10.0, high: 10.0 }),
    ("gelu_accurate", Activation::GeluTanh),
    ("gelu_fast", Activation::GeluTanh),
    ("gelu_new", Activation::GeluTanh),
    ("gelu_python", Activation::Gelu),
    ("gelu_python_tanh", Activation::GeluTanh),
    ("gelu_pytorch_tanh", Activation::GeluTanh),
    ("laplace", Activation::Laplace),
    ("leaky_relu", Activation::LeakyRelu { slope: 0.01 }),
    ("linear", Activation::Identity),
    ("mish", Activation::Mish),
    ("quick_gelu", Activation::QuickGelu),
    ("relu", Activation::Relu),
    ("relu2", Activation::SquaredRelu),
    ("relu6", Activation::Relu6),
    ("sigmoid", Activation::Sigmoid),
    ("silu", Activation::Silu),
    ("swish", Activation::Silu),
    ("tanh", Activation::Tanh),
];

/// The activation that a field names.
pub(super) fn activation(fields: &Fields, field: &str, default: Activation) -> Result<Activation> {
    fields.choice_or(field, &ACTIVATIONS, default)
}

/// The activation between the two dense layers, and whether there is a gate: `NAME` or `gated-NAME`, where `gated-gelu` means the tanh form.
/// Files that name the two apart mean these, as Hugging Face's configuration does.
pub(super) fn feed_forward(fields: &Fields) -> Result<(Activation, bool)> {
    let field = "feed_forward_proj";
    let whole = fields.text_or(field, "relu")?;
    let (name, is_gated) = match whole.strip_prefix("gated-") {
        Some(name) => (name, true),
        None => (whole, false),
    };
    let named = ACTIVATIONS.iter().find_map(|(known, activation)| (*known == name).then_some(*activation));
    let named = if whole == "gated-gelu" { Some(Activation::GeluTanh) } else { named };
    let Some(named) = named else {
        let names = ACTIVATIONS.map(|(name, _)| name).join(", ");
        return Err(fields.refuse(field, format!("one of {names}, alone or behind `gated-`")));
    };
    Ok((activation(fields, "dense_act_fn", named)?, fields.bool_or("is_gated_act", is_gated)?))
}

/// Refuses what the configuration may ask for and these models do not have: to be a decoder.
pub(super) fn refuse_decoders(fields: &Fields) -> Result<()> {
    for field in ["is_decoder", "add_cross_attention"] {
        if fields.bool_or(field, false)? {
            return Err(fields.refuse(field, "false"));
        }
    }
    Ok(())
}
