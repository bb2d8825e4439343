//! The heads of the BERT families, which differ in the names that checkpoints give to their layers.

use super::super::Task;
use super::super::head::{Head, HeadResult, Rows, decoder_weight};
use super::super::network::Declaring;
use super::TextConfig;
use crate::Result;
use crate::nn::{Embedding, LayerNorm, Linear};
use crate::ops::Activation;

/// A family's heads: scores of words, of a text's labels, of tokens' labels (`classifier`), and of answers (`qa_outputs`).
#[derive(Clone, Copy, Debug)]
pub(in crate::models) struct TextHeads<'c> {
    pub(in crate::models) config: &'c TextConfig,
    pub(in crate::models) words: WordNames,
    /// Between the two dense layers that score words.
    pub(in crate::models) activation: Activation,
    pub(in crate::models) classifier: Classifier,
}

/// What files call the parts of a head that scores the vocabulary.
#[derive(Clone, Copy, Debug)]
pub(in crate::models) struct WordNames {
    /// From hidden states to the embeddings' width.
    pub(in crate::models) dense: &'static str,
    pub(in crate::models) norm: &'static str,
    /// From there to a score for each word.
    pub(in crate::models) decoder: &'static str,
    /// The decoder's bias, under one of these names or, equal, under several.
    pub(in crate::models) biases: &'static [&'static str],
}

/// How a text's labels are scored, by its first token.
#[derive(Clone, Copy, Debug)]
pub(in crate::models) enum Classifier {
    /// A pooler, and `classifier` behind it.
    Pooled {
        /// What stands before the names of the network's own weights, the pooler's among them, in files with heads.
        base: &'static str,
        pooler: &'static str,
        activation: Activation,
        /// The result that tells whether the second text follows the first, and its layer behind the pooler, where there is such a head.
        pairs: Option<[&'static str; 2]>,
    },
    /// `classifier.dense`, this activation and `classifier.out_proj`.
    Dense(Activation),
}

impl TextHeads<'_> {
    /// The head that the task needs. `words` are the embeddings.
    ///
    /// Fails for a task without a head.
    pub(in crate::models) fn declare(
        &self,
        declaring: &mut Declaring<'_>,
        words: &Embedding,
    ) -> Result<Option<Head>> {
        let labels = declaring.labels()?;
        let results = match (declaring.task, self.classifier) {
            (Task::Embed | Task::Hidden, _) => return Ok(None),
            (Task::Logits, _) => vec![self.words("logits", declaring, words)?],
            (Task::Label, _) => vec![self.tokens(declaring, "classifier", labels)?],
            (Task::Answer, _) => vec![self.tokens(declaring, "qa_outputs", 2)?],
            (Task::Classify, _) => vec![self.text("logits", declaring, "classifier", labels)?],
            (Task::Pretrain, Classifier::Pooled { pairs: Some([name, path]), .. }) => {
                let scores = self.words("prediction_logits", declaring, words)?;
                vec![scores, self.text(name, declaring, path, 2)?]
            }
            (Task::Pretrain | Task::Transcribe, _) => {
                return Err(declaring.no_head(self.config.facts.architecture));
            }
        };
        Ok(Some(Head::of(results)))
    }

    /// Scores of the whole vocabulary: a dense layer, a normalisation, and a decoder with a bias.
    fn words(
        &self,
        name: &'static str,
        declaring: &mut Declaring<'_>,
        words: &Embedding,
    ) -> Result<HeadResult> {
        let (width, embedding) = (self.config.facts.width, self.config.embeddings.widths[0]);
        let WordNames { dense, norm, decoder, biases } = self.words;
        let is_tied = declaring.ties_words()?;
        let mut root = declaring.root();
        let weight = decoder_weight(&mut root.at(decoder), words, is_tied)?;
        let bias = root.weight_or(biases, [self.config.facts.vocab_size])?;
        biases.iter().skip(1).try_for_each(|copy| root.tied(copy, &bias))?;
        let dense = Linear::declare(&mut root.at(dense), width, embedding)?;
        let norm = LayerNorm::declare(&mut root.at(norm), embedding, self.config.layer.eps)?;
        Ok(HeadResult::new(name, Rows::Wanted)
            .dense(dense, self.activation)
            .norm(norm)
            .dense(Linear::of(weight, Some(bias)), Activation::Identity))
    }

    /// `out` scores of a text by the layer at `path`.
    fn text(
        &self,
        name: &'static str,
        declaring: &mut Declaring<'_>,
        path: &str,
        out: usize,
    ) -> Result<HeadResult> {
        let width = self.config.facts.width;
        let result = HeadResult::new(name, Rows::First);
        match self.classifier {
            Classifier::Pooled { base, pooler, activation, .. } => {
                let mut scope = declaring.base(base);
                let result = result.declare_dense(&mut scope.at(pooler), [width, width], activation)?;
                result.declare_dense(&mut declaring.root().at(path), [width, out], Activation::Identity)
            }
            Classifier::Dense(activation) => {
                let mut root = declaring.root();
                let mut scope = root.at(path);
                let result = result.declare_dense(&mut scope.at("dense"), [width, width], activation)?;
                result.declare_dense(&mut scope.at("out_proj"), [width, out], Activation::Identity)
            }
        }
    }

    /// `out` scores of each token by the layer at `path`.
    fn tokens(&self, declaring: &mut Declaring<'_>, path: &str, out: usize) -> Result<HeadResult> {
        let extents = [self.config.facts.width, out];
        HeadResult::new("logits", Rows::Wanted).declare_dense(
            &mut declaring.root().at(path),
            extents,
            Activation::Identity,
        )
    }
}
