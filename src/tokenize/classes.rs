//! The tokenizers of Hugging Face's transformers, by the names that files call them (`tokenizer_class`).
//!
//! Tokens, templates and conversions as in
//! <https://github.com/huggingface/transformers/blob/v4.57.1/src/transformers/convert_slow_tokenizer.py> and the `tokenization_*.py` files
//! beside it.

/// A class of tokenizers, the fast one and the slow one.
#[derive(Debug)]
pub(super) struct Class {
    /// Without `Tokenizer` and `Fast`.
    pub(super) name: &'static str,
    /// Families of models (`model_type`) whose tokenizer it is where nothing else is said.
    model_types: &'static [&'static str],
    pub(super) kind: Kind,
    /// What it calls its special tokens where no file does, by field.
    tokens: &'static [(&'static str, &'static str)],
    /// Special tokens by their fields around a text, `A`, or around two, `A` and `B`; a type other than 0 behind a colon.
    pub(super) templates: [&'static str; 2],
    /// Whether the mask takes the blanks before it, as a word would.
    pub(super) mask_takes_blank: bool,
}

/// What a class makes of a vocabulary without a `tokenizer.json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `vocab.txt` with word pieces.
    WordPiece,
    /// `vocab.json` and `merges.txt`, of bytes as GPT-2 spells them.
    ByteLevel,
    /// `vocab.json` and `merges.txt`, of words whose pieces but the last end in `@@`.
    Ctrl,
    /// `vocab.txt` of whole words.
    Words,
    /// A SentencePiece model.
    SentencePiece(Flavour),
    /// Nothing: it is read from `tokenizer.json` only.
    Whole,
}

/// How a class changes what its SentencePiece model says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flavour {
    T5,
    Albert,
    Xlnet,
    DebertaV2,
    XlmRoberta,
}

const BERT: &[(&str, &str)] = &[
    ("unk_token", "[UNK]"),
    ("sep_token", "[SEP]"),
    ("pad_token", "[PAD]"),
    ("cls_token", "[CLS]"),
    ("mask_token", "[MASK]"),
];
const ROBERTA: &[(&str, &str)] = &[
    ("bos_token", "<s>"),
    ("eos_token", "</s>"),
    ("unk_token", "<unk>"),
    ("sep_token", "</s>"),
    ("pad_token", "<pad>"),
    ("cls_token", "<s>"),
    ("mask_token", "<mask>"),
];
const PAIR_OF_TYPES: [&str; 2] = ["cls A sep", "cls A sep B:1 sep:1"];
const PAIR_OF_FOUR: [&str; 2] = ["cls A sep", "cls A sep sep B sep"];
const BARE: [&str; 2] = ["A", "A B:1"];

const fn class(
    name: &'static str,
    model_types: &'static [&'static str],
    kind: Kind,
    tokens: &'static [(&'static str, &'static str)],
    templates: [&'static str; 2],
) -> Class {
    Class { name, model_types, kind, tokens, templates, mask_takes_blank: false }
}

const fn blank_before_mask(class: Class) -> Class {
    Class { mask_takes_blank: true, ..class }
}

const fn word_piece(name: &'static str, model_types: &'static [&'static str]) -> Class {
    class(name, model_types, Kind::WordPiece, BERT, PAIR_OF_TYPES)
}

const fn roberta(name: &'static str, model_types: &'static [&'static str]) -> Class {
    blank_before_mask(class(name, model_types, Kind::ByteLevel, ROBERTA, PAIR_OF_FOUR))
}

/// A class whose reader changes nothing of `tokenizer.json`.
const fn whole(name: &'static str) -> Class {
    class(name, &[], Kind::Whole, &[], BARE)
}

/// Every class that is known; others are refused.
pub(super) const CLASSES: &[Class] = &[
    word_piece("Bert", &["bert"]),
    word_piece("ConvBert", &["convbert"]),
    word_piece("DPRContextEncoder", &[]),
    word_piece("DPRQuestionEncoder", &["dpr"]),
    word_piece("DPRReader", &[]),
    word_piece("DistilBert", &["distilbert"]),
    word_piece("Electra", &["electra"]),
    class(
        "Funnel",
        &["funnel"],
        Kind::WordPiece,
        &[
            ("bos_token", "<s>"),
            ("eos_token", "</s>"),
            ("unk_token", "<unk>"),
            ("sep_token", "<sep>"),
            ("pad_token", "<pad>"),
            ("cls_token", "<cls>"),
            ("mask_token", "<mask>"),
        ],
        ["cls:2 A sep", "cls:2 A sep B:1 sep:1"],
    ),
    word_piece("LayoutLM", &["layoutlm"]),
    word_piece("Lxmert", &["lxmert"]),
    word_piece("MobileBert", &["mobilebert"]),
    blank_before_mask(class(
        "MPNet",
        &["mpnet"],
        Kind::WordPiece,
        &[
            ("bos_token", "<s>"),
            ("eos_token", "</s>"),
            ("unk_token", "[UNK]"),
            ("sep_token", "</s>"),
            ("pad_token", "<pad>"),
            ("cls_token", "<s>"),
            ("mask_token", "<mask>"),
        ],
        ["cls A sep", "cls A sep sep B:1 sep:1"],
    )),
    word_piece("Realm", &["realm"]),
    word_piece("RetriBert", &["retribert"]),
    word_piece("SqueezeBert", &["squeezebert"]),
    roberta("Bart", &["bart"]),
    roberta("LED", &["led"]),
    roberta("Longformer", &["longformer"]),
    roberta("Mvp", &["mvp"]),
    roberta("Roberta", &["roberta"]),
    roberta("Tapex", &[]),
    blank_before_mask(class("Deberta", &["deberta"], Kind::ByteLevel, BERT, PAIR_OF_TYPES)),
    class(
        "GPT2",
        &["gpt2"],
        Kind::ByteLevel,
        &[("bos_token", "<|endoftext|>"), ("eos_token", "<|endoftext|>"), ("unk_token", "<|endoftext|>")],
        BARE,
    ),
    class("CTRL", &["ctrl"], Kind::Ctrl, &[("unk_token", "<unk>")], BARE),
    class(
        "TransfoXL",
        &["transfo-xl"],
        Kind::Words,
        &[("eos_token", "<eos>"), ("unk_token", "<unk>")],
        ["A eos", "A eos B:1 eos:1"],
    ),
    blank_before_mask(class(
        "Albert",
        &["albert"],
        Kind::SentencePiece(Flavour::Albert),
        &[
            ("bos_token", "[CLS]"),
            ("eos_token", "[SEP]"),
            ("unk_token", "<unk>"),
            ("sep_token", "[SEP]"),
            ("pad_token", "<pad>"),
            ("cls_token", "[CLS]"),
            ("mask_token", "[MASK]"),
        ],
        PAIR_OF_TYPES,
    )),
    class("DebertaV2", &["deberta-v2"], Kind::SentencePiece(Flavour::DebertaV2), BERT, PAIR_OF_TYPES),
    class(
        "T5",
        &["t5", "mt5", "umt5", "longt5"],
        Kind::SentencePiece(Flavour::T5),
        &[("eos_token", "</s>"), ("unk_token", "<unk>"), ("pad_token", "<pad>")],
        ["A eos", "A eos B eos"],
    ),
    blank_before_mask(class(
        "XLMRoberta",
        &["xlm-roberta"],
        Kind::SentencePiece(Flavour::XlmRoberta),
        ROBERTA,
        PAIR_OF_FOUR,
    )),
    blank_before_mask(class(
        "XLNet",
        &["xlnet"],
        Kind::SentencePiece(Flavour::Xlnet),
        &[
            ("bos_token", "<s>"),
            ("eos_token", "</s>"),
            ("unk_token", "<unk>"),
            ("sep_token", "<sep>"),
            ("pad_token", "<pad>"),
            ("cls_token", "<cls>"),
            ("mask_token", "<mask>"),
        ],
        ["A sep cls:2", "A sep B:1 sep:1 cls:2"],
    )),
    whole("Barthez"),
    whole("BigBird"),
    whole("Blenderbot"),
    whole("Bloom"),
    whole("Camembert"),
    whole("CodeGen"),
    whole("Herbert"),
    whole("MBart"),
    whole("MBart50"),
    whole("OpenAIGPT"),
    whole("Pegasus"),
    whole("PreTrained"),
    whole("Qwen2"),
    whole("Reformer"),
    whole("RemBert"),
    whole("TokenizersBackend"),
];

impl Class {
    /// The class that files call `name`: `BertTokenizer`, `BertTokenizerFast`.
    pub(super) fn named(name: &str) -> Option<&'static Self> {
        let name = name.strip_suffix("Fast").unwrap_or(name);
        let stem = name.strip_suffix("Tokenizer").unwrap_or(name);
        CLASSES.iter().find(|class| class.name == stem)
    }

    /// The class of a family of models.
    pub(super) fn of_model(model_type: &str) -> Option<&'static Self> {
        CLASSES.iter().find(|class| class.model_types.contains(&model_type))
    }

    /// What the class calls the special token of `field` where no file does.
    pub(super) fn token(&self, field: &str) -> Option<&'static str> {
        self.tokens.iter().find(|(known, _)| *known == field).map(|(_, token)| *token)
    }
}
