//! Which places of its input a convolution reads.
//!
//! Along an axis, tap `j` of place `p` reads `(p step + j tap + first) / up` where that is a whole number within the input, else nothing. A
//! convolution has `up = 1`, `step` its stride, `tap` its dilation and `-first` its padding in front. The gradient of what it reads is a
//! convolution of the upstream gradient by [`Reach::turned`]: tap `j` of place `q` reads that `p` for which tap `j` of `p` reads `q`.

use crate::kernel::Kernel;
use crate::{Error, ErrorKind, Result};

/// One axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reach {
    step: i32,
    tap: i32,
    first: i32,
    up: i32,
    /// How many taps there are.
    pub(super) kernel: usize,
    /// Places of what is read.
    pub(super) from: usize,
    /// Places of the result.
    pub(super) to: usize,
}

/// What an axis is asked for, in places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Along {
    pub(super) stride: usize,
    pub(super) dilation: usize,
    /// Zeros before the first place and behind the last.
    pub(super) padding: [usize; 2],
}

impl Along {
    pub(super) const PLAIN: Self = Self { stride: 1, dilation: 1, padding: [0; 2] };
}

impl Reach {
    /// The only place of an axis that is not convolved.
    pub(super) const ONE: Self = Self { step: 1, tap: 1, first: 0, up: 1, kernel: 1, from: 1, to: 1 };

    /// One tap on each of so many places.
    pub(super) fn pointwise(places: usize) -> Self {
        Self { from: places, to: places, ..Self::ONE }
    }

    /// `kernel` taps over `from` places. Fails for `op`, naming what is wrong, when a number is 0 that must not be, and when no place has all of
    /// its taps within input and padding.
    pub(super) fn new(op: &'static str, along: Along, kernel: usize, from: usize) -> Result<Self> {
        let Along { stride, dilation, padding: [before, behind] } = along;
        for (argument, number) in [("stride", stride), ("dilation", dilation), ("kernel", kernel)] {
            if number == 0 {
                return Err(Error::new(ErrorKind::Argument, op, argument)
                    .expecting("at least 1")
                    .but_found(0));
            }
        }
        let span = (kernel - 1).saturating_mul(dilation).saturating_add(1);
        let padded = from.saturating_add(before).saturating_add(behind);
        if padded < span {
            return Err(Error::new(ErrorKind::Shape, op, "x")
                .expecting(format!("at least {span} places with padding, as many as the kernel spans"))
                .but_found(padded));
        }
        let to = (padded - span) / stride + 1;
        let farthest = padded.max(to.saturating_mul(stride)).saturating_add(span);
        if i32::try_from(farthest).is_err() {
            return Err(Error::new(ErrorKind::Limit, op, "x")
                .expecting(format!("at most {} places with padding", i32::MAX))
                .but_found(farthest));
        }
        let [step, tap, before] = [stride, dilation, before].map(|number| number as i32);
        Ok(Self { step, tap, first: -before, up: 1, kernel, from, to })
    }

    /// The reach of the gradient of what is read.
    pub(super) fn turned(self) -> Self {
        let Self { step, tap, first, up, kernel, from, to } = self;
        Self { step: up, tap: -tap, first: -first, up: step, kernel, from: to, to: from }
    }

    /// What tap `tap` of `place` reads.
    pub(super) fn read(&self, place: usize, tap: usize) -> Option<usize> {
        let number =
            place as i64 * i64::from(self.step) + tap as i64 * i64::from(self.tap) + i64::from(self.first);
        let up = i64::from(self.up);
        let is_there = number >= 0 && number % up == 0 && number / up < self.from as i64;
        is_there.then_some((number / up) as usize)
    }

    /// Whether the only place reads the only place there is, as along an axis that is not convolved.
    fn is_one(&self) -> bool {
        (self.kernel, self.from, self.to, self.first) == (1, 1, 1, 0)
    }

    /// Whether neighbours read neighbours, so that places of result and input can be of the same sequences.
    fn is_dense(&self) -> bool {
        (self.step, self.up, self.from) == (1, 1, self.to)
    }
}

/// Both axes of a plane, down and across; along time, one across.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plane {
    pub(super) down: Reach,
    pub(super) across: Reach,
}

/// A reach in which tap `j` of place `p` reads `p + j + offset`, or, turned, `p - j + offset`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sliding {
    pub(super) offset: i32,
    pub(super) is_turned: bool,
}

impl Plane {
    pub(super) fn turned(self) -> Self {
        Self { down: self.down.turned(), across: self.across.turned() }
    }

    /// Places of the result of an item.
    pub(super) fn to(&self) -> usize {
        self.down.to * self.across.to
    }

    /// Places of what is read of an item.
    pub(super) fn from(&self) -> usize {
        self.down.from * self.across.from
    }

    pub(super) fn taps(&self) -> usize {
        self.down.kernel * self.across.kernel
    }

    /// Whether packed sequences are supported: the result has a place for each place of the input, along one axis.
    pub(super) fn takes_segments(&self) -> bool {
        self.down.is_one() && self.across.is_dense()
    }

    /// Along time where neighbouring taps, as neighbouring places, read neighbours.
    pub(super) fn sliding(&self) -> Option<Sliding> {
        let Reach { step, tap, first, up, .. } = self.across;
        let slides = self.down.is_one() && (step, up, tap.abs()) == (1, 1, 1);
        slides.then_some(Sliding { offset: first, is_turned: tap < 0 })
    }

    /// Calls `visit` with the place of the result, the tap and the place that it reads, for every tap that reads. Places of different `segments`,
    /// if there are any, do not see each other.
    pub(super) fn each(&self, segments: Option<&[i64]>, mut visit: impl FnMut(usize, usize, usize)) {
        let Self { down, across } = self;
        for place in 0..self.to() {
            for tap in 0..self.taps() {
                let row = down.read(place / across.to, tap / across.kernel);
                let column = across.read(place % across.to, tap % across.kernel);
                let Some(read) = row.zip(column).map(|(row, column)| row * across.from + column) else {
                    continue;
                };
                if segments.is_none_or(|segments| segments[place] == segments[read]) {
                    visit(place, tap, read);
                }
            }
        }
    }

    /// `kernel` with the constants and parameters that `conv/read_of_time.wgsl` and `conv/read_of_plane.wgsl` read.
    pub(super) fn tell(&self, kernel: Kernel) -> Kernel {
        let Self { down, across } = self;
        let is_plane = !down.is_one();
        let mut kernel = kernel
            .constant("IS_PLANE", is_plane)
            .constant("IS_SPREAD", down.up != 1 || across.up != 1)
            .constant("KERNEL_ACROSS", across.kernel as u32)
            .param("to_across", across.to as u32)
            .param("step_across", across.step as u32)
            .param("tap_across", across.tap as u32)
            .param("first_across", across.first as u32)
            .param("up_across", across.up as u32)
            .param("from_across", across.from as u32);
        if is_plane {
            kernel = kernel
                .param("step_down", down.step as u32)
                .param("tap_down", down.tap as u32)
                .param("first_down", down.first as u32)
                .param("up_down", down.up as u32)
                .param("from_down", down.from as u32)
                .source(crate::kernel::wgsl!("conv/read_of_plane.wgsl"));
        } else {
            kernel = kernel.source(crate::kernel::wgsl!("conv/read_of_time.wgsl"));
        }
        kernel.source(crate::kernel::wgsl!("conv/along.wgsl"))
    }
}
