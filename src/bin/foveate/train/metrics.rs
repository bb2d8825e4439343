//! How right a classifier is.

use foveate::models::{LabelKind, Labels};

/// What is known of a classifier on the texts seen so far.
#[derive(Clone, Debug)]
pub(super) struct Judged<'a> {
    labels: &'a Labels,
    loss: f64,
    texts: usize,
    /// Texts all of whose labels were told rightly.
    right: usize,
    /// For each label: texts of it that were told rightly, texts told to be of it, and texts of it.
    counts: Vec<[usize; 3]>,
}

impl<'a> Judged<'a> {
    pub(super) fn new(labels: &'a Labels) -> Self {
        Self { labels, loss: 0.0, texts: 0, right: 0, counts: vec![[0; 3]; labels.names.len()] }
    }

    /// Adds a text that has the labels `held`, ascending, one where one holds, by the classifier's `scores`.
    pub(super) fn add(&mut self, scores: &[f32], held: &[usize]) {
        let told: Vec<usize> = match self.labels.kind {
            // As likely as not is not told.
            LabelKind::Any => (0..scores.len()).filter(|&label| scores[label] > 0.0).collect(),
            _ => (0..scores.len()).max_by(|&a, &b| scores[a].total_cmp(&scores[b])).into_iter().collect(),
        };
        self.loss += self.loss_of(scores, held);
        self.texts += 1;
        self.right += usize::from(told == held);
        for (label, [both, told_of, of]) in self.counts.iter_mut().enumerate() {
            let [is_told, is_held] = [&told[..], held].map(|labels| labels.binary_search(&label).is_ok());
            *both += usize::from(is_told && is_held);
            *told_of += usize::from(is_told);
            *of += usize::from(is_held);
        }
    }

    /// In nats: the cross-entropy of the label, or the mean over labels of each one's.
    fn loss_of(&self, scores: &[f32], held: &[usize]) -> f64 {
        if self.labels.kind == LabelKind::Any {
            let loss = |(label, &score): (usize, &f32)| {
                let score = f64::from(score);
                // softplus(x) - x where the label holds, from below overflow.
                let held = if held.contains(&label) { score } else { 0.0 };
                score.max(0.0) - held + (-score.abs()).exp().ln_1p()
            };
            return scores.iter().enumerate().map(loss).sum::<f64>() / scores.len().max(1) as f64;
        }
        let probabilities = self.labels.probabilities(scores);
        // The smallest positive number keeps a loss finite that f64 can no longer tell from infinite.
        held.iter().map(|&label| -probabilities[label].max(f64::MIN_POSITIVE).ln()).sum()
    }

    /// The mean loss.
    pub(super) fn loss(&self) -> f64 {
        self.loss / self.texts.max(1) as f64
    }

    /// The share of texts that were told rightly, of several labels all of them.
    pub(super) fn accuracy(&self) -> f64 {
        self.right as f64 / self.texts.max(1) as f64
    }

    /// F1, the harmonic mean of precision and recall (van Rijsbergen 1979), of all labels together; 1 where none occurs and none was told.
    pub(super) fn micro_f1(&self) -> f64 {
        let sums = self.counts.iter().fold([0; 3], |sums, counts| [0, 1, 2].map(|i| sums[i] + counts[i]));
        if sums[1] + sums[2] == 0 { 1.0 } else { f1(&sums) }
    }

    /// The mean over labels of F1; labels that neither occur nor were told are left out.
    pub(super) fn macro_f1(&self) -> f64 {
        let seen = self.counts.iter().filter(|[_, told, of]| told + of > 0);
        let scores: Vec<f64> = seen.map(f1).collect();
        scores.iter().sum::<f64>() / scores.len().max(1) as f64
    }
}

fn f1([right, told, of]: &[usize; 3]) -> f64 {
    2.0 * *right as f64 / (told + of) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(kind: LabelKind) -> Labels {
        Labels { names: ["a", "b", "c"].map(str::to_owned).to_vec(), kind }
    }

    #[test]
    fn accuracy_and_f1_are_those_counted_by_hand() {
        let labels = labels(LabelKind::One);
        let mut judged = Judged::new(&labels);
        // Told a, a, b, b of a, b, b, b: F1 of a is 2/3, of b 4/5; c does not occur.
        for (scores, label) in
            [([2.0, 0.0, 0.0], 0), ([2.0, 0.0, 0.0], 1), ([0.0, 2.0, 0.0], 1), ([0.0, 2.0, 0.0], 1)]
        {
            judged.add(&scores, &[label]);
        }
        assert_eq!(judged.accuracy(), 0.75);
        assert!((judged.macro_f1() - (2.0 / 3.0 + 0.8) / 2.0).abs() < 1e-12);
        let sum = 2f64.exp() + 2.0;
        let expected = sum.ln() - 2.0 * 3.0 / 4.0;
        assert!((judged.loss() - expected).abs() < 1e-6, "{} {expected}", judged.loss());
    }

    #[test]
    fn texts_of_several_labels_are_right_where_all_are() {
        let labels = labels(LabelKind::Any);
        let mut judged = Judged::new(&labels);
        // Told a, nothing, and a with c; of a, b, and a with b.
        judged.add(&[1.0, -1.0, -1.0], &[0]);
        judged.add(&[-1.0, -1.0, -1.0], &[1]);
        judged.add(&[1.0, -1.0, 1.0], &[0, 1]);
        assert!((judged.accuracy() - 1.0 / 3.0).abs() < 1e-12);
        // Two of three that were told are right, two of four are found.
        assert!((judged.micro_f1() - 4.0 / 7.0).abs() < 1e-12);
        assert!((judged.macro_f1() - 1.0 / 3.0).abs() < 1e-12);
        // A label told rightly costs ln(1 + 1/e), one told wrongly 1 more.
        let expected = 1f64.exp().recip().ln_1p() + 3.0 / 9.0;
        assert!((judged.loss() - expected).abs() < 1e-9, "{} {expected}", judged.loss());
        // No number overflows.
        judged.add(&[1e30, -1e30, 0.0], &[0]);
        assert!(judged.loss().is_finite());
    }
}
