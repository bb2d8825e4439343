//! The labels of a classifier, as its configuration names them.

use serde_json::Value;

use crate::Result;
use crate::weights::Fields;

/// The labels of a classifier, and how its scores become probabilities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labels {
    /// Their names, by number.
    pub names: Vec<String>,
    /// What the scores are.
    pub kind: LabelKind,
}

/// What a classifier's scores are (`problem_type` of Hugging Face's configurations).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LabelKind {
    /// One label holds: a softmax gives probabilities.
    One,
    /// Each label holds or not: a sigmoid of each score gives its probability.
    Any,
    /// The scores are the predicted numbers themselves (regression).
    Number,
}

impl LabelKind {
    /// Its name in Hugging Face's configurations.
    pub fn problem_type(self) -> &'static str {
        match self {
            Self::One => "single_label_classification",
            Self::Any => "multi_label_classification",
            Self::Number => "regression",
        }
    }
}

impl Labels {
    /// Reads `id2label` or else `num_labels`, and `problem_type`. Without a type, scores of one label are for a sigmoid, those of more for
    /// a softmax, as Hugging Face's pipelines take them. Names may be numbers: its training examples write them so where data has such labels.
    ///
    /// Fails when numbers of labels are not 0 to one less than there are, when `num_labels` is another number, and for an unknown type.
    pub(crate) fn read(fields: &Fields) -> Result<Self> {
        let names = if fields.has("id2label") {
            let named = fields.object("id2label")?;
            let count = named.names().count();
            if !(1..=1 << 20).contains(&count) {
                return Err(fields.refuse("id2label", "at least one label"));
            }
            if fields.usize_or("num_labels", 0..=1 << 20, count)? != count {
                return Err(fields.refuse("num_labels", format!("{count}, as many labels as id2label has")));
            }
            (0..count).map(|id| name(&named, &id.to_string())).collect::<Result<_>>()?
        } else {
            let count = fields.usize_or("num_labels", 1..=1 << 20, 2)?;
            (0..count).map(|id| format!("LABEL_{id}")).collect::<Vec<_>>()
        };
        let usual = if names.len() == 1 { LabelKind::Any } else { LabelKind::One };
        let kinds =
            [LabelKind::One, LabelKind::Any, LabelKind::Number].map(|kind| (kind.problem_type(), kind));
        Ok(Self { kind: fields.choice_or("problem_type", &kinds, usual)?, names })
    }

    /// Each label's probability, or score where these are numbers, of `scores`, one a label.
    pub fn probabilities(&self, scores: &[f32]) -> Vec<f64> {
        let scores = scores.iter().map(|&score| f64::from(score));
        match self.kind {
            LabelKind::Number => scores.collect(),
            LabelKind::Any => scores.map(|score| 1.0 / (1.0 + (-score).exp())).collect(),
            LabelKind::One => {
                let largest = scores.clone().fold(f64::NEG_INFINITY, f64::max);
                let weights: Vec<f64> = scores.map(|score| (score - largest).exp()).collect();
                let sum: f64 = weights.iter().sum();
                weights.into_iter().map(|weight| weight / sum).collect()
            }
        }
    }
}

/// The name of label `id` of `id2label`.
fn name(named: &Fields, id: &str) -> Result<String> {
    match named.get(id) {
        Some(Value::String(name)) => Ok(name.clone()),
        Some(name @ (Value::Number(_) | Value::Bool(_))) => Ok(name.to_string()),
        _ => Err(named.refuse(id, "the name of a label")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use crate::weights::parse_json;

    fn read(json: &str) -> Result<Labels> {
        Labels::read(&Fields::new("config.json", parse_json("config.json", json.as_bytes())?)?)
    }

    #[test]
    fn labels_are_in_the_order_of_their_numbers() {
        let labels = read(r#"{"id2label": {"1": "no", "0": "yes", "2": "maybe"}}"#).unwrap();
        assert_eq!(
            (&labels.names[..], labels.kind),
            (&["yes", "no", "maybe"].map(str::to_owned)[..], LabelKind::One)
        );
        let sum: f64 = labels.probabilities(&[1.0, 2.0, 300.0]).iter().sum();
        assert!((sum - 1.0).abs() < 1e-12);
        assert_eq!(read("{}").unwrap().names, ["LABEL_0", "LABEL_1"]);
        assert_eq!(read(r#"{"num_labels": 1}"#).unwrap().probabilities(&[0.0]), [0.5]);
        assert_eq!(
            read(r#"{"num_labels": 1, "problem_type": "regression"}"#).unwrap().probabilities(&[3.0]),
            [3.0]
        );
    }

    #[test]
    fn names_may_be_numbers() {
        assert_eq!(read(r#"{"id2label": {"0": 10, "1": 7}}"#).unwrap().names, ["10", "7"]);
        assert_eq!(read(r#"{"id2label": {"0": false, "1": true}}"#).unwrap().names, ["false", "true"]);
    }

    #[test]
    fn nonsensical_labels_are_refused_by_field() {
        for (json, field) in [
            (r#"{"id2label": {"0": "a", "2": "b"}}"#, "id2label.1"),
            (r#"{"id2label": {}}"#, "id2label"),
            (r#"{"id2label": ["a", "b"]}"#, "id2label"),
            (r#"{"id2label": {"0": ["a"]}}"#, "id2label.0"),
            (r#"{"id2label": {"0": null}}"#, "id2label.0"),
            (r#"{"id2label": {"0": "a", "1": "b"}, "num_labels": 3}"#, "num_labels"),
            (r#"{"id2label": {"0": "a"}, "num_labels": 0}"#, "num_labels"),
            (r#"{"id2label": {"0": "a"}, "num_labels": "1"}"#, "num_labels"),
            (r#"{"num_labels": 0}"#, "num_labels"),
            (r#"{"num_labels": -1}"#, "num_labels"),
            (r#"{"num_labels": 1e300}"#, "num_labels"),
            (r#"{"problem_type": "ranking"}"#, "problem_type"),
            (r#"{"problem_type": 1}"#, "problem_type"),
        ] {
            let error = read(json).unwrap_err();
            assert_eq!((error.kind(), error.argument()), (ErrorKind::Config, field), "{json}: {error}");
        }
    }
}
