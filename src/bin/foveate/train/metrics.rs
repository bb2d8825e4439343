//! How right a classifier is.

use foveate::models::Labels;

/// What is known of a classifier on the texts seen so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Judged {
    loss: f64,
    /// For each label: texts of it that were told rightly, texts told to be of it, and texts of it.
    labels: Vec<[usize; 3]>,
}

impl Judged {
    pub(super) fn new(labels: usize) -> Self {
        Self { loss: 0.0, labels: vec![[0; 3]; labels] }
    }

    /// Adds a text whose label is `label`, by the classifier's `scores`.
    pub(super) fn add(&mut self, scores: &[f32], labels: &Labels, label: usize) {
        let probabilities = labels.probabilities(scores);
        // The smallest positive number keeps a loss finite that f64 can no longer tell from infinite.
        self.loss -= probabilities[label].max(f64::MIN_POSITIVE).ln();
        let told = (0..scores.len()).max_by(|&a, &b| scores[a].total_cmp(&scores[b])).unwrap_or(0);
        self.labels[told][1] += 1;
        self.labels[label][2] += 1;
        self.labels[told][0] += usize::from(told == label);
    }

    fn texts(&self) -> f64 {
        self.labels.iter().map(|[_, _, of]| of).sum::<usize>().max(1) as f64
    }

    /// The mean cross-entropy, in nats.
    pub(super) fn loss(&self) -> f64 {
        self.loss / self.texts()
    }

    /// The share of texts that were told rightly.
    pub(super) fn accuracy(&self) -> f64 {
        self.labels.iter().map(|[right, _, _]| right).sum::<usize>() as f64 / self.texts()
    }

    /// The mean over labels of F1, the harmonic mean of precision and recall (van Rijsbergen 1979); labels that neither occur nor were told are left
    /// out.
    pub(super) fn macro_f1(&self) -> f64 {
        let seen = self.labels.iter().filter(|[_, told, of]| told + of > 0);
        let scores: Vec<f64> =
            seen.map(|[right, told, of]| 2.0 * *right as f64 / (told + of) as f64).collect();
        scores.iter().sum::<f64>() / scores.len().max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use foveate::models::LabelKind;

    #[test]
    fn accuracy_and_f1_are_those_counted_by_hand() {
        let labels = Labels { names: ["a", "b", "c"].map(str::to_owned).to_vec(), kind: LabelKind::One };
        let mut judged = Judged::new(3);
        // Told a, a, b, b of a, b, b, b: F1 of a is 2/3, of b 4/5; c does not occur.
        for (scores, label) in
            [([2.0, 0.0, 0.0], 0), ([2.0, 0.0, 0.0], 1), ([0.0, 2.0, 0.0], 1), ([0.0, 2.0, 0.0], 1)]
        {
            judged.add(&scores, &labels, label);
        }
        assert_eq!(judged.accuracy(), 0.75);
        assert!((judged.macro_f1() - (2.0 / 3.0 + 0.8) / 2.0).abs() < 1e-12);
        let sum = 2f64.exp() + 2.0;
        let expected = sum.ln() - 2.0 * 3.0 / 4.0;
        assert!((judged.loss() - expected).abs() < 1e-6, "{} {expected}", judged.loss());
    }
}
