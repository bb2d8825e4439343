//! Texts and ids as a model takes them.

use std::borrow::Cow;

use foveate::Result;
use foveate::models::Facts;
use foveate::tokenize::{Encoding as Tokens, Tokenizer};
use rayon::prelude::*;

use super::inputs::{Content, Given, refused};
use crate::args::TaskName;

/// One sequence as the model takes it.
#[derive(Debug)]
pub(crate) struct Input {
    /// What messages call it: `--text 1`, `moby-dick.txt line 7`.
    pub(crate) source: String,
    /// The text, or two, where ids were not given in their place.
    pub(super) texts: Vec<String>,
    /// Where the tokens come from, for tasks that ask.
    pub(super) encoding: Option<Tokens>,
    pub(crate) ids: Vec<u32>,
    /// The text that each token counts to; nothing where all are of the first.
    pub(crate) types: Vec<u32>,
    /// Whether something was cut off.
    pub(crate) truncated: bool,
}

impl AsRef<[u32]> for Input {
    fn as_ref(&self) -> &[u32] {
        &self.ids
    }
}

/// How sequences are made to fit a model.
#[derive(Debug)]
pub(crate) struct Encoding<'a> {
    pub(crate) tokenizer: Option<&'a Tokenizer>,
    pub(crate) facts: Facts,
    pub(crate) truncate: bool,
    pub(crate) task: TaskName,
    /// Whether the model, an encoder-decoder, scores the second text about the first.
    pub(crate) writes_another: bool,
    /// What is put before every text, or nothing.
    pub(crate) prompt: &'a str,
}

impl Encoding<'_> {
    /// Ids of everything, checked against the model. Fails with the first input's error, by its name.
    pub(crate) fn encode(&self, given: Vec<Given>) -> Result<Vec<Input>> {
        // What a text without any token comes to.
        let empty = self.tokenizer.map_or(Ok(0), |tokenizer| tokenizer.encode("").map(|ids| ids.len()))?;
        let encoded: Vec<_> = given.into_par_iter().map(|given| self.encode_one(given, empty)).collect();
        encoded.into_iter().collect()
    }

    fn encode_one(&self, Given { source, content }: Given, empty: usize) -> Result<Input> {
        let most = self.facts.max_tokens;
        let mut input = match content {
            Content::Ids(ids, types) => {
                if matches!(self.task, TaskName::Label | TaskName::Answer) {
                    return Err(refused(&source, "--ids")
                        .expecting(format!("--text, as {} gives places in texts", self.task.name()))
                        .but_found("ids"));
                }
                if self.writes_another {
                    check_target(&source, &types)?;
                }
                Input { source, texts: Vec::new(), encoding: None, ids, types, truncated: false }
            }
            Content::Texts(texts) => self.encode_texts(source, texts, usize::MAX)?,
        };
        if !input.texts.is_empty() && input.ids.len() <= empty {
            return Err(refused(&input.source, "text")
                .expecting("something the tokenizer sees")
                .but_found("no token"));
        }
        if input.ids.len() > most {
            if !self.truncate {
                return Err(refused(&input.source, "tokens")
                    .expecting(format!("at most {most}"))
                    .but_found(input.ids.len())
                    .with_hint("--truncate cuts what is too long"));
            }
            if input.texts.is_empty() {
                input.ids.truncate(most);
                input.types.truncate(most);
            } else {
                input = self.encode_texts(input.source, input.texts, most)?;
            }
            input.truncated = true;
        }
        self.check(&input)?;
        Ok(input)
    }

    /// Refuses what the model would: it does not know the input's name.
    fn check(&self, input: &Input) -> Result<()> {
        let Input { source, ids, types, .. } = input;
        if !types.is_empty() && types.len() != ids.len() {
            return Err(refused(source, "types")
                .expecting(format!("{}, one a token", ids.len()))
                .but_found(types.len()));
        }
        let most_types = if self.writes_another { 2 } else { self.facts.types };
        let bounds = [("token", ids, self.facts.vocab_size, "an id"), ("type", types, most_types, "a type")];
        for (what, values, most, expected) in bounds {
            if let Some(at) = values.iter().position(|value| *value as usize >= most) {
                let of = if what == "token" { ", the model's vocabulary" } else { "" };
                return Err(refused(source, &format!("{what} {at}"))
                    .expecting(format!("{expected} below {most}{of}"))
                    .but_found(values[at]));
            }
        }
        Ok(())
    }

    /// At most `most` tokens of a text, or of two.
    fn encode_texts(&self, source: String, texts: Vec<String>, most: usize) -> Result<Input> {
        if self.task == TaskName::Answer && texts.len() == 1 {
            return Err(refused(&source, "--pair")
                .expecting("the passage, beside the question")
                .but_found("none"));
        }
        if self.writes_another {
            let [text, target] = &texts[..] else {
                return Err(refused(&source, "--pair")
                    .expecting("the target, beside the source text")
                    .but_found("none"));
            };
            let mut ids = self.tokenize(&source, text, most)?;
            let target = self.tokenize(&source, target, most)?;
            let types = (0..ids.len() + target.len()).map(|at| u32::from(at >= ids.len())).collect();
            ids.extend(target);
            return Ok(Input { source, texts, encoding: None, ids, types, truncated: false });
        }
        let needs_places = matches!(self.task, TaskName::Label | TaskName::Answer);
        let (ids, types, encoding) = if needs_places || texts.len() > 1 {
            let tokenizer =
                self.tokenizer.ok_or_else(|| refused(&source, "text").expecting("a tokenizer"))?;
            let first = self.prompted(&texts[0]);
            let others = texts.iter().skip(1).map(String::as_str);
            let parts: Vec<&str> = [&*first].into_iter().chain(others).collect();
            let encoding = named(&source, tokenizer.encode_texts(&parts, most))?;
            // Models of one type take pairs by the tokens between the two.
            let types = if self.facts.types > 1 { encoding.types.clone() } else { Vec::new() };
            (encoding.ids.clone(), types, Some(encoding))
        } else {
            (self.tokenize(&source, &self.prompted(&texts[0]), most)?, Vec::new(), None)
        };
        Ok(Input { source, texts, encoding, ids, types, truncated: false })
    }

    fn prompted<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if self.prompt.is_empty() { text.into() } else { format!("{}{text}", self.prompt).into() }
    }

    fn tokenize(&self, source: &str, text: &str, most: usize) -> Result<Vec<u32>> {
        let tokenizer = self.tokenizer.ok_or_else(|| refused(source, "text").expecting("a tokenizer"))?;
        named(source, tokenizer.encode_truncated(text, most))
    }
}

/// Refuses types that are not those of a source text and, behind it, a target.
fn check_target(source: &str, types: &[u32]) -> Result<()> {
    let begins = types.iter().position(|&of| of != 0).unwrap_or(0);
    if begins > 0 && types[begins..].iter().all(|&of| of == 1) {
        return Ok(());
    }
    Err(refused(source, "--types")
        .expecting("0 for each token of the source text, and behind it 1 for each of the target")
        .but_found(if types.is_empty() { "none".to_owned() } else { format!("{types:?}") }))
}

/// The result, or its error under the name of the input.
fn named<T>(source: &str, result: Result<T>) -> Result<T> {
    result.map_err(|error| error.within(source.to_owned()))
}
