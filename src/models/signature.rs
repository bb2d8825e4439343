//! Signatures: the inputs that a network reads, and the layouts of batches that it takes. Code that runs or trains a network goes by its signature,
//! not by its family.
//!
//! A signature names no outputs and no states, as neither is the network's to choose. Its one output is its last hidden state; what a task makes of
//! that has the head's names ([`Model::results`](super::Model::results)), and hidden states between layers have those of
//! [`Recorder::name_hidden`](crate::nn::Recorder::name_hidden). States follow from the layout: in [`Layout::Cached`](crate::nn::Layout::Cached) each
//! layer has caches ([`Recorder::cached`](crate::nn::Recorder::cached)), in [`Layout::Stateful`](crate::nn::Layout::Stateful) sums of all that it has
//! read, in [`Layout::Recurrent`](crate::nn::Layout::Recurrent) it keeps what it saw
//! ([`Recorder::memory`](crate::nn::Recorder::memory)). The list of a graph's states with their shapes is [`Graph::states`](crate::Graph::states);
//! what makes, forks, saves and loads them for a stream reads it there, so that it cannot differ from what was recorded.

use super::sound::refuse_tokens;
use super::{Facts, SoundForm, SoundFrames, Tokens};
use crate::nn::LayoutKind;
use crate::weights::Fields;
use crate::{Error, ErrorKind, Result};

/// The inputs that a network reads, and the layouts of batches that it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signature {
    /// What it reads of each token. Graphs may have inputs that a network does not read.
    pub inputs: &'static [Input],
    /// The layouts of batches that it takes.
    pub layouts: &'static [LayoutKind],
    /// Whether a token sees only itself and those before it. A text can be continued where layouts have caches or states, too
    /// ([`Signature::continues_texts`]).
    pub is_causal: bool,
    /// Numbers that a step holds for each token of a batch in one binding, where they are more than its hidden states and scores are:
    /// [`Encoder`](super::Encoder) runs smaller batches where the device's bindings ask for it.
    pub numbers_per_token: usize,
    /// Of a network that reads one text and writes another, what there is to know of the two: it reads [`Tokens::source`], too.
    pub encoder_decoder: Option<EncoderDecoder>,
    /// Of recurrent networks, how many tokens before itself a token sees at most. A stream's caches have that many rows before its first
    /// token, and need not hold more behind it.
    pub memory: usize,
    /// Of a network whose results depend on padding, what texts are filled up to: [`Encoder`](super::Encoder) runs each by itself.
    pub padded_to: Option<PaddedTo>,
    /// Of a network that reads sound in place of texts, what it makes frames of: it takes [`Sound`](super::Sound) and no tokens.
    pub sound: Option<SoundFrames>,
    /// Whether a text's results depend on the padding behind it, so that [`Encoder`](super::Encoder) runs texts of one length at a time.
    pub depends_on_padding: bool,
}

/// What texts are filled up to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PaddedTo {
    /// Tokens of every text, padding included.
    pub tokens: usize,
    /// The padding id.
    pub id: u32,
}

/// An input of a network besides source texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Input {
    /// Words of the vocabulary ([`Tokens::ids`]).
    Ids,
    /// Places in their sequences ([`Tokens::positions`]).
    Positions,
    /// Which of a pair of texts each token is of ([`Tokens::types`]).
    Types,
    /// Which tokens see all others, and all others see ([`Tokens::globals`]).
    Globals,
    /// Samples of sound ([`Sound::values`](super::Sound::values)).
    Wave,
    /// Log-mel features of sound ([`Sound::values`](super::Sound::values)).
    LogMel,
}

impl Input {
    /// The inputs of a network that reads words and, of each, maybe its place and its text.
    pub(super) fn of_words(positions: bool, types: bool) -> &'static [Self] {
        match (positions, types) {
            (false, false) => &[Self::Ids],
            (true, false) => &[Self::Ids, Self::Positions],
            (false, true) => &[Self::Ids, Self::Types],
            (true, true) => &[Self::Ids, Self::Positions, Self::Types],
        }
    }

    /// What graphs call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ids => "ids",
            Self::Positions => "positions",
            Self::Types => "types",
            Self::Globals => "globals",
            Self::Wave | Self::LogMel => "sound",
        }
    }
}

/// The texts of an encoder-decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncoderDecoder {
    /// The longest source text, in tokens.
    pub max_source_tokens: usize,
    /// The token that every text of the decoder begins with.
    pub start: u32,
    /// The token that ends a text, where the configuration names one.
    pub end: Option<u32>,
}

impl EncoderDecoder {
    /// What a configuration says of texts over a vocabulary: `decoder_start_token_id`, which is the padding where it is absent, and
    /// `eos_token_id`, of several the first, 1 where the field is absent and none where it is null.
    pub(super) fn read(fields: &Fields, vocab_size: usize, max_source_tokens: usize) -> Result<Self> {
        let id = |name, default| fields.usize_or(name, 0..=vocab_size - 1, default);
        let start = id("decoder_start_token_id", id("pad_token_id", 0)?)? as u32;
        let end = match fields.has("eos_token_id") {
            true => fields.ids("eos_token_id", vocab_size)?.first().copied(),
            false => (!fields.names().any(|name| name == "eos_token_id")).then_some(1),
        };
        Ok(Self { max_source_tokens, start, end })
    }
}

impl Signature {
    /// A network whose tokens see all others of a text, in any batch of whole texts.
    pub const fn encoder(inputs: &'static [Input]) -> Self {
        const LAYOUTS: &[LayoutKind] = &[LayoutKind::Packed, LayoutKind::Padded, LayoutKind::Rows];
        Self {
            inputs,
            layouts: LAYOUTS,
            is_causal: false,
            numbers_per_token: 0,
            encoder_decoder: None,
            memory: 0,
            padded_to: None,
            sound: None,
            depends_on_padding: false,
        }
    }

    /// A network that reads sound, whose frames see all others of it.
    pub const fn sound(frames: SoundFrames) -> Self {
        let inputs: &[Input] = match frames.form {
            SoundForm::Samples => &[Input::Wave],
            SoundForm::LogMel { .. } => &[Input::LogMel],
        };
        Self { layouts: &[], sound: Some(frames), ..Self::encoder(inputs) }
    }

    /// A network that reads sound, whose frames see those before them, in pieces, too ([`SoundStream`](super::SoundStream)).
    pub const fn streamed_sound(frames: SoundFrames) -> Self {
        Self { layouts: &[LayoutKind::Recurrent], is_causal: true, ..Self::sound(frames) }
    }

    /// A network whose tokens see all others of a text and its padding, in rows of one text each.
    pub const fn filled_up(inputs: &'static [Input], padded_to: PaddedTo) -> Self {
        const LAYOUTS: &[LayoutKind] = &[LayoutKind::Padded, LayoutKind::Rows];
        Self { layouts: LAYOUTS, padded_to: Some(padded_to), ..Self::encoder(inputs) }
    }

    /// A network that reads whole texts, each a row, whose results depend on padding. If causal, a token sees itself and those before it.
    pub const fn of_one_length(inputs: &'static [Input], is_causal: bool) -> Self {
        const LAYOUTS: &[LayoutKind] = &[LayoutKind::Padded, LayoutKind::Rows];
        Self { layouts: LAYOUTS, depends_on_padding: true, is_causal, ..Self::encoder(inputs) }
    }

    /// A network whose tokens see those before them, in any batch of whole texts and from caches.
    pub const fn causal(inputs: &'static [Input]) -> Self {
        const LAYOUTS: &[LayoutKind] =
            &[LayoutKind::Packed, LayoutKind::Padded, LayoutKind::Rows, LayoutKind::Cached];
        Self { layouts: LAYOUTS, is_causal: true, ..Self::encoder(inputs) }
    }

    /// A causal network that writes about source texts.
    pub const fn encoder_decoder(inputs: &'static [Input], texts: EncoderDecoder) -> Self {
        // Texts of one row would share a source.
        const LAYOUTS: &[LayoutKind] = &[LayoutKind::Padded, LayoutKind::Rows, LayoutKind::Cached];
        Self { layouts: LAYOUTS, encoder_decoder: Some(texts), ..Self::causal(inputs) }
    }

    /// A causal network that reads texts segment by segment, with memories of those before ([`Segments`](super::Segments)), or from caches of
    /// what its tokens see: at most `memory` before themselves.
    pub const fn recurrent(inputs: &'static [Input], memory: usize) -> Self {
        Self { layouts: &[LayoutKind::Recurrent, LayoutKind::Cached], memory, ..Self::causal(inputs) }
    }

    /// Whether the network reads an input.
    pub fn reads(&self, input: Input) -> bool {
        self.inputs.contains(&input)
    }

    /// Whether the network takes batches of this layout.
    pub fn takes(&self, layout: LayoutKind) -> bool {
        self.layouts.contains(&layout)
    }

    /// Whether a text can be continued: from caches, or from states of a fixed size.
    pub fn continues_texts(&self) -> bool {
        self.takes(LayoutKind::Cached) || self.takes(LayoutKind::Stateful)
    }

    /// Whether it reads whole texts, one by one or many in a batch, and nothing beside each.
    pub fn reads_whole_texts(&self) -> bool {
        self.encoder_decoder.is_none() && self.takes(LayoutKind::Rows)
    }

    /// What it reads, where that is not one whole text, in the words of messages.
    pub(crate) fn other_texts(&self) -> Option<&'static str> {
        match self {
            _ if self.encoder_decoder.is_some() => Some("an encoder-decoder"),
            _ if self.sound.is_some() => Some("a model of sound"),
            _ if !self.reads_whole_texts() => Some("a recurrent model"),
            _ => None,
        }
    }

    /// Refuses tokens that lie as the network does not take them, and source texts that are missing or that nothing reads.
    pub(super) fn check(&self, facts: &Facts, tokens: &Tokens) -> Result<()> {
        let refused = |kind, argument: &str| Error::new(kind, facts.architecture, argument.to_owned());
        let kind = tokens.layout.kind();
        if self.sound.is_some() {
            return Err(refuse_tokens(facts.architecture));
        }
        if !self.takes(kind) {
            let names: Vec<&str> = self.layouts.iter().map(|layout| layout.name()).collect();
            return Err(refused(ErrorKind::Unsupported, "layout")
                .expecting(names.join(", "))
                .but_found(kind.name()));
        }
        match (self.encoder_decoder, tokens.source) {
            (Some(_), None) => {
                Err(refused(ErrorKind::Argument, "source").expecting("source texts").but_found("none"))
            }
            (None, Some(_)) => Err(refused(ErrorKind::Argument, "source")
                .expecting("none, as the model has no encoder beside its decoder")
                .but_found("source texts")),
            _ => Ok(()),
        }
    }
}
