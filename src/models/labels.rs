//! The labels of a classifier, as its configuration names them.

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
pub enum LabelKind {
    /// One label holds: a softmax gives probabilities.
    One,
    /// Each label holds or not: a sigmoid of each score gives its probability.
    Any,
    /// The scores are what was asked for.
    Number,
}

impl Labels {
    /// Reads `id2label` or else `num_labels`, and `problem_type`. Without a type, scores of one label are for a sigmoid, those of more for
    /// a softmax, as Hugging Face's pipelines take them.
    ///
    /// Fails when numbers of labels are not 0 to one less than there are, and for an unknown type.
    pub(crate) fn read(fields: &Fields) -> Result<Self> {
        let names = if fields.has("id2label") {
            let named = fields.object("id2label")?;
            let count = named.names().count();
            if !(1..=1 << 20).contains(&count) {
                return Err(fields.refuse("id2label", "at least one label"));
            }
            (0..count).map(|id| named.text(&id.to_string()).map(str::to_owned)).collect::<Result<_>>()?
        } else {
            let count = fields.usize_or("num_labels", 1..=1 << 20, 2)?;
            (0..count).map(|id| format!("LABEL_{id}")).collect::<Vec<_>>()
        };
        let usual = if names.len() == 1 { LabelKind::Any } else { LabelKind::One };
        let kinds = [
            ("single_label_classification", LabelKind::One),
            ("multi_label_classification", LabelKind::Any),
            ("regression", LabelKind::Number),
        ];
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
    fn labels_with_a_gap_and_unknown_types_are_refused() {
        for json in
            [r#"{"id2label": {"0": "a", "2": "b"}}"#, r#"{"id2label": {}}"#, r#"{"problem_type": "ranking"}"#]
        {
            assert_eq!(read(json).unwrap_err().kind(), ErrorKind::Config, "{json}");
        }
    }
}
