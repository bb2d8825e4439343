//! The CPU reference, frame by frame in logarithms.

use super::{Ctc, IMPOSSIBLE_ALIGNMENT};
use crate::tensor::{Array, Real};

/// An item's log-probabilities and labels.
struct Item<'a, R> {
    log_probabilities: &'a [R],
    symbols: usize,
    /// Symbol of each state.
    states: Vec<usize>,
    frames: usize,
    blank: usize,
}

impl<'a, R: Real> Item<'a, R> {
    fn new(spec: &Ctc, inputs: &'a [&'a Array<R>], item: usize) -> Self {
        let [_, frames, symbols] = [0, 1, 2].map(|axis| inputs[0].dims()[axis]);
        let width = inputs[1].dims()[1];
        let within = |count: i64, most: usize| count.clamp(0, most as i64) as usize;
        let labels = &inputs[1].indices()[item * width..][..within(inputs[3].indices()[item], width)];
        let blank = spec.blank as usize;
        let mut states = vec![blank];
        for &label in labels {
            states.extend([within(label, symbols - 1), blank]);
        }
        Self {
            log_probabilities: &inputs[0].reals()[item * frames * symbols..(item + 1) * frames * symbols],
            symbols,
            states,
            frames: within(inputs[2].indices()[item], frames),
            blank,
        }
    }

    fn at(&self, frame: usize, state: usize) -> R {
        self.log_probabilities[frame * self.symbols + self.states[state]]
    }

    /// Whether an alignment may go from the state two before to this one.
    fn skips(&self, state: usize) -> bool {
        state >= 2 && self.states[state] != self.blank && self.states[state] != self.states[state - 2]
    }

    /// The states before `state`, or itself, that an alignment may come from.
    fn before(&self, state: usize) -> impl Iterator<Item = usize> {
        let nearest = if self.skips(state) { 2 } else { state.min(1) };
        (0..=nearest).map(move |back| state - back)
    }

    fn alpha(&self) -> Vec<R> {
        let count = self.states.len();
        let mut alpha = vec![R::neg_infinity(); self.frames * count];
        for frame in 0..self.frames {
            for state in 0..count {
                let sum = if frame == 0 {
                    if state < 2 { R::zero() } else { R::neg_infinity() }
                } else {
                    log_sum(self.before(state).map(|other| alpha[(frame - 1) * count + other]))
                };
                alpha[frame * count + state] = sum + self.at(frame, state);
            }
        }
        alpha
    }

    fn beta(&self) -> Vec<R> {
        let count = self.states.len();
        let mut beta = vec![R::neg_infinity(); self.frames * count];
        for frame in (0..self.frames).rev() {
            for state in 0..count {
                beta[frame * count + state] = if frame + 1 == self.frames {
                    if state + 2 >= count { R::zero() } else { R::neg_infinity() }
                } else {
                    let next = (state..count).filter(|&next| self.before(next).any(|other| other == state));
                    log_sum(next.map(|next| beta[(frame + 1) * count + next] + self.at(frame + 1, next)))
                };
            }
        }
        beta
    }

    /// The logarithm of the probability of all alignments.
    fn log_probability(&self, alpha: &[R]) -> R {
        let count = self.states.len();
        if self.frames == 0 {
            return if count == 1 { R::zero() } else { R::neg_infinity() };
        }
        log_sum(alpha[self.frames * count - count.min(2)..].iter().copied())
    }
}

fn log_sum<R: Real>(terms: impl Iterator<Item = R>) -> R {
    let terms: Vec<R> = terms.collect();
    // A maximum drops NaN.
    if let Some(&nan) = terms.iter().find(|term| term.get().is_nan()) {
        return nan;
    }
    let largest = terms.iter().copied().fold(R::neg_infinity(), R::max);
    if largest == R::neg_infinity() {
        return largest;
    }
    terms.into_iter().map(|term| (term - largest).exp()).sum::<R>().ln() + largest
}

/// What kernels have for a logarithm that nothing reaches.
fn finite<R: Real>(x: R) -> R {
    if x.get().is_nan() { x } else { x.max(R::of(-f64::from(IMPOSSIBLE_ALIGNMENT))) }
}

pub(super) fn forward<R: Real>(spec: &Ctc, inputs: &[&Array<R>]) -> Vec<Array<R>> {
    let [batch, frames] = [0, 1].map(|axis| inputs[0].dims()[axis]);
    let states = 2 * inputs[1].dims()[1] + 1;
    let (mut losses, mut all) = (Vec::with_capacity(batch), vec![R::zero(); batch * frames * states]);
    for number in 0..batch {
        let item = Item::new(spec, inputs, number);
        let alpha = item.alpha();
        let found = item.log_probability(&alpha);
        losses.push(match found == R::neg_infinity() && spec.zero_infinity {
            true => R::zero(),
            false => -finite(found),
        });
        for (at, &alpha) in alpha.iter().enumerate() {
            let (frame, state) = (at / item.states.len(), at % item.states.len());
            all[(number * frames + frame) * states + state] = finite(alpha);
        }
    }
    vec![Array::real([batch], losses), Array::real([batch, frames, states], all)]
}

pub(super) fn backward<R: Real>(spec: &Ctc, inputs: &[&Array<R>]) -> Array<R> {
    let [batch, frames, symbols] = [0, 1, 2].map(|axis| inputs[0].dims()[axis]);
    let mut gradient = vec![R::zero(); batch * frames * symbols];
    for number in 0..batch {
        let item = Item::new(spec, inputs, number);
        let (alpha, beta) = (item.alpha(), item.beta());
        let whole = item.log_probability(&alpha);
        if whole == R::neg_infinity() {
            continue;
        }
        let count = item.states.len();
        for at in 0..item.frames * count {
            let (frame, symbol) = (at / count, item.states[at % count]);
            let share = (alpha[at] + beta[at] - whole).exp();
            gradient[(number * frames + frame) * symbols + symbol] += -inputs[6].reals()[number] * share;
        }
    }
    Array::real([batch, frames, symbols], gradient)
}
