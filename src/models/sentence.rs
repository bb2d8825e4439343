//! Folders of sentence-transformers: which modules make an embedding of hidden states, how long a text may be, and what is put before it.
//! Every file and field that its readers obey is obeyed or refused by name; the list of them is in the docs of [`models`](super).

use std::path::Path;

use super::longest::longest;
use super::pooling::{Dense, Layer, Pooling, PoolingKind, Residual};
use super::prompts::Prompts;
use crate::Result;
use crate::nn::{LayerNorm, Linear};
use crate::ops::Activation;
use crate::weights::modules::{Module, modules, network_folder};
use crate::weights::{Checkpoint, Declarations, Fields};

/// What a module reads and writes where nothing else is said.
const EMBEDDING: &str = "sentence_embedding";

/// PyTorch's, which files do not name.
const LAYER_NORM_EPS: f32 = 1e-5;

/// The most channels of a layer.
const MOST_WIDTH: usize = 1 << 20;

/// What a folder says of embeddings.
#[derive(Debug)]
pub(super) struct Sentence {
    pub(super) pooling: Pooling,
    pub(super) prompts: Prompts,
    /// The longest sequence, in tokens.
    pub(super) max_tokens: usize,
    /// The checkpoint with the tensors of layers behind the pooling.
    pub(super) checkpoint: Checkpoint,
}

impl Sentence {
    /// Reads `folder`, whose network has hidden states of `width` channels and positions for `most` tokens, and declares the weights of
    /// layers.
    pub(super) fn open(
        folder: &Path,
        checkpoint: Checkpoint,
        declarations: &mut Declarations,
        [width, most]: [usize; 2],
    ) -> Result<Self> {
        let prompts = Prompts::open(folder)?;
        let max_tokens = longest(&network_folder(folder)?, most)?;
        let mut sentence = Self { pooling: Pooling::default(), prompts, max_tokens, checkpoint };
        match modules(folder)? {
            Some(modules) => sentence.read(folder, &modules, declarations, width)?,
            None => {
                // Folders whose list was lost.
                let config = folder.join("1_Pooling").join("config.json");
                if config.exists() {
                    sentence.read_pooling(&Fields::open(config)?, width)?;
                }
            }
        }
        Ok(sentence)
    }

    fn read(
        &mut self,
        folder: &Path,
        modules: &[Module],
        declarations: &mut Declarations,
        width: usize,
    ) -> Result<()> {
        let mut pooled: Option<usize> = None;
        self.pooling.layers.clear();
        for (place, module) in modules.iter().enumerate() {
            let kind = module.kind();
            let is_first = place == 0;
            if is_first != (kind == Some("Transformer")) {
                let expected = if is_first {
                    "sentence_transformers' Transformer"
                } else {
                    "one Transformer, the first"
                };
                return Err(module.fields.refuse("type", expected));
            }
            let path = if module.fields.has("path") {
                module.path.clone()
            } else {
                format!("{place}_{}", kind.unwrap_or_default())
            };
            let part = Part { folder, path: &path };
            match (kind, pooled) {
                (Some("Transformer" | "Dropout"), _) => {}
                (Some("Pooling"), None) => {
                    // Without a file, the default.
                    if let Some(fields) = part.optional_fields()? {
                        self.read_pooling(&fields, width)?;
                    }
                    pooled = Some(self.pooling.kinds.len() * width);
                }
                (Some("Normalize"), Some(_)) => {
                    if let Some(fields) = part.optional_fields()? {
                        check_names(&fields, &[])?;
                    }
                    self.pooling.layers.push(Layer::Normalize);
                }
                (Some("Dense"), Some(inner)) => pooled = Some(self.read_dense(&part, declarations, inner)?),
                (Some("LayerNorm"), Some(inner)) => self.read_norm(&part, declarations, inner)?,
                _ => {
                    return Err(module.fields.refuse(
                        "type",
                        "sentence_transformers' Transformer, then one Pooling, then Dense, LayerNorm, Normalize or Dropout",
                    ));
                }
            }
        }
        match (pooled, modules.last()) {
            (None, Some(last)) => Err(last.fields.refuse("type", "a Pooling behind the Transformer")),
            _ => Ok(()),
        }
    }

    /// What is taken of the hidden states: names in a list (since 5.4) or flags, of which the order is the library's.
    fn read_pooling(&mut self, fields: &Fields, width: usize) -> Result<()> {
        const MODES: [(&str, &str, PoolingKind); 6] = [
            ("cls", "pooling_mode_cls_token", PoolingKind::First),
            ("max", "pooling_mode_max_tokens", PoolingKind::Max),
            ("mean", "pooling_mode_mean_tokens", PoolingKind::Mean),
            ("mean_sqrt_len_tokens", "pooling_mode_mean_sqrt_len_tokens", PoolingKind::MeanSqrtLength),
            ("weightedmean", "pooling_mode_weightedmean_tokens", PoolingKind::WeightedMean),
            ("lasttoken", "pooling_mode_lasttoken", PoolingKind::Last),
        ];
        const MODE: &str = "pooling_mode";
        let others = [MODE, "include_prompt", "word_embedding_dimension", "embedding_dimension"];
        let flags = MODES.iter().map(|(_, flag, _)| *flag);
        refuse_others(fields, &flags.clone().chain(others).collect::<Vec<_>>())?;
        for field in ["word_embedding_dimension", "embedding_dimension"] {
            if fields.usize_or(field, 1..=MOST_WIDTH, width)? != width {
                return Err(fields.refuse(field, format!("{width}, the channels of a hidden state")));
            }
        }
        let named = |name: &str| {
            let found = MODES.iter().find(|(mode, ..)| name.eq_ignore_ascii_case(mode));
            found.map(|(.., kind)| *kind).ok_or_else(|| {
                fields.refuse(MODE, format!("{}, or a list of them", MODES.map(|(mode, ..)| mode).join(", ")))
            })
        };
        let mut kinds = Vec::new();
        match fields.get(MODE) {
            Some(serde_json::Value::Array(names)) if !names.is_empty() => {
                for name in names {
                    kinds.push(named(name.as_str().unwrap_or_default())?);
                }
            }
            Some(name) => kinds.push(named(name.as_str().unwrap_or_default())?),
            None => {
                for (_, flag, kind) in MODES {
                    if fields.bool_or(flag, false)? {
                        kinds.push(kind);
                    }
                }
            }
        }
        // The library's own default.
        self.pooling.kinds = if kinds.is_empty() { vec![PoolingKind::Mean] } else { kinds };
        self.prompts.are_pooled = fields.bool_or("include_prompt", true)?;
        Ok(())
    }

    /// The channels of what the layer gives.
    fn read_dense(
        &mut self,
        part: &Part<'_>,
        declarations: &mut Declarations,
        inner: usize,
    ) -> Result<usize> {
        let fields = part.fields()?;
        check_names(
            &fields,
            &["in_features", "out_features", "bias", "activation_function", "use_residual"],
        )?;
        if fields.usize("in_features", 1..=MOST_WIDTH)? != inner {
            return Err(fields.refuse("in_features", format!("{inner}, what comes before it")));
        }
        let width = fields.usize("out_features", 1..=MOST_WIDTH)?;
        let activation = torch_activation(&fields)?;
        let mut scope = declarations.root().into_at(part.path);
        let mut dense = |name: &str, bias| match bias {
            true => Linear::declare(&mut scope.at(name), inner, width),
            false => Linear::declare_without_bias(&mut scope.at(name), inner, width),
        };
        let linear = dense("linear", fields.bool_or("bias", true)?)?;
        let residual = match fields.bool_or("use_residual", false)? {
            false => Residual::None,
            true if inner == width => Residual::Same,
            true => Residual::Projected(dense("residual", false)?),
        };
        self.take(part)?;
        self.pooling.layers.push(Layer::Dense(Box::new(Dense { linear, activation, residual, width })));
        Ok(width)
    }

    fn read_norm(&mut self, part: &Part<'_>, declarations: &mut Declarations, width: usize) -> Result<()> {
        let fields = part.fields()?;
        refuse_others(&fields, &["dimension"])?;
        if fields.usize("dimension", 1..=MOST_WIDTH)? != width {
            return Err(fields.refuse("dimension", format!("{width}, what comes before it")));
        }
        let mut scope = declarations.root().into_at(part.path);
        let norm = LayerNorm::declare(&mut scope.at("norm"), width, LAYER_NORM_EPS)?;
        self.take(part)?;
        self.pooling.layers.push(Layer::Norm(norm));
        Ok(())
    }

    /// The tensors of a module, under its path.
    fn take(&mut self, part: &Part<'_>) -> Result<()> {
        let tensors = Checkpoint::open(part.folder.join(part.path))?;
        self.checkpoint = self.checkpoint.with_part(part.path, &tensors)?;
        Ok(())
    }
}

/// The folder of a module.
struct Part<'a> {
    folder: &'a Path,
    path: &'a str,
}

impl Part<'_> {
    fn fields(&self) -> Result<Fields> {
        Fields::open(self.folder.join(self.path).join("config.json"))
    }

    /// Modules without settings have no file of them.
    fn optional_fields(&self) -> Result<Option<Fields>> {
        let config = self.folder.join(self.path).join("config.json");
        if self.path.is_empty() || !config.exists() { Ok(None) } else { Fields::open(config).map(Some) }
    }
}

/// Refuses fields beside `known` and those that say what a module reads and writes, and among these another thing than embeddings.
fn check_names(fields: &Fields, known: &[&str]) -> Result<()> {
    let names = ["module_input_name", "module_output_name"];
    refuse_others(fields, &[known, &names].concat())?;
    names.iter().try_for_each(|name| only(fields, name, EMBEDDING))
}

pub(super) fn only(fields: &Fields, name: &str, expected: &str) -> Result<()> {
    if fields.text_or(name, expected)? == expected { Ok(()) } else { Err(fields.refuse(name, expected)) }
}

pub(super) fn refuse_others(fields: &Fields, known: &[&str]) -> Result<()> {
    match fields.names().find(|name| fields.has(name) && !known.contains(name)) {
        Some(other) => Err(fields.refuse(other, format!("no field but {}", known.join(", ")))),
        None => Ok(()),
    }
}

/// The activation of a dense layer, named as PyTorch's classes are; tanh where none is.
fn torch_activation(fields: &Fields) -> Result<Activation> {
    const FIELD: &str = "activation_function";
    const CLASSES: [(&str, Activation); 9] = [
        ("Identity", Activation::Identity),
        ("GELU", Activation::Gelu),
        ("Hardswish", Activation::HardSwish),
        ("LeakyReLU", Activation::LeakyRelu { slope: 0.01 }),
        ("Mish", Activation::Mish),
        ("ReLU", Activation::Relu),
        ("Sigmoid", Activation::Sigmoid),
        ("SiLU", Activation::Silu),
        ("Tanh", Activation::Tanh),
    ];
    let path = fields.text_or(FIELD, "torch.nn.modules.activation.Tanh")?;
    let class = path.strip_prefix("torch.nn.").and_then(|path| path.rsplit('.').next());
    let found = CLASSES.iter().find(|(name, _)| Some(*name) == class);
    found.map(|(_, activation)| *activation).ok_or_else(|| {
        fields.refuse(FIELD, format!("torch.nn's {}", CLASSES.map(|(name, _)| name).join(", ")))
    })
}
