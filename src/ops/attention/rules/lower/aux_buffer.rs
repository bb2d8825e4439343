//! The auxiliary buffer: lengths, tables, position lists, block lists and statistics of rows, packed into one buffer because a shader may
//! bind no more than eight.

use crate::kernel::{Caps, Dispatch, Kernel, Operand, Source, params, wgsl};
use crate::ops::attention::Dims;
use crate::ops::contract::to_u32;
use crate::tensor::{DType, TensorDesc};
use crate::{Error, ErrorKind, Result};

/// Sections that `params.sections` has room for.
const MOST_SECTIONS: usize = 16;

/// The words at which sections begin.
pub(in crate::ops::attention) type SectionParams = [u32; MOST_SECTIONS];

params! {
    struct CopyParams {
        start: u32,
    }
}

params! {
    struct EndsParams {
        start: u32,
        time: u32,
    }
}

params! {
    struct GlobalsParams {
        start: u32,
        time: u32,
        listed: u32,
    }
}

params! {
    struct BitsParams {
        start: u32,
        columns: u32,
        words: u32,
    }
}

params! {
    struct DistancesParams {
        start: u32,
        heads: u32,
        distances: u32,
    }
}

/// What a section of the buffer holds, and of which tensor of the rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Contents {
    /// The tensor itself.
    Copy(usize),
    /// Where the sequence of each token begins and ends.
    Ends(usize),
    /// Whether a list has each position below a time, and how many of the list lie before it.
    Listed(usize, usize),
    /// A dense mask, a bit a pair.
    Bits(usize),
    /// A table of slots, by distance.
    ByDistance(usize, usize),
    /// What kernels write.
    Own(usize),
}

/// The auxiliary buffer of a step while it is laid out.
#[derive(Debug)]
pub(in crate::ops::attention) struct AuxBuffer<'a> {
    op: &'static str,
    caps: &'a Caps,
    dims: Dims,
    /// Inputs of the step before the tensors of its rule.
    required: usize,
    tensors: &'a [TensorDesc],
    /// Which scratch buffer it is.
    scratch: usize,
    contents: Vec<Contents>,
    starts: Vec<u32>,
    words: usize,
    fills: Vec<Dispatch>,
}

impl<'a> AuxBuffer<'a> {
    pub(in crate::ops::attention) fn new(
        op: &'static str,
        caps: &'a Caps,
        dims: &Dims,
        inputs: &'a [TensorDesc],
        required: usize,
        scratch: usize,
    ) -> Self {
        Self {
            op,
            caps,
            dims: *dims,
            required,
            tensors: &inputs[required..],
            scratch,
            contents: Vec::new(),
            starts: Vec::new(),
            words: 0,
            fills: Vec::new(),
        }
    }

    /// Query heads that share one key head.
    pub(super) fn group(&self) -> usize {
        self.dims.group()
    }

    /// The op that it belongs to.
    pub(super) fn op(&self) -> &'static str {
        self.op
    }

    /// Shape and type of a tensor of the rule.
    pub(super) fn desc(&self, tensor: usize) -> &'a TensorDesc {
        &self.tensors[tensor]
    }

    /// The step's input that a tensor of the rule is.
    pub(in crate::ops::attention) fn input(&self, tensor: usize) -> Operand {
        Operand::Input(self.required + tensor)
    }

    /// What to bind as `aux_buffer`, if it holds anything.
    pub(in crate::ops::attention) fn binding(&self) -> Option<(&'static str, Operand)> {
        (!self.contents.is_empty()).then_some(("aux_buffer", Operand::Scratch(self.scratch)))
    }

    /// The buffer itself, for dispatches that fill a section made with [`AuxBuffer::own`].
    pub(in crate::ops::attention) fn operand(&self) -> Operand {
        Operand::Scratch(self.scratch)
    }

    /// The files that declare it.
    pub(in crate::ops::attention) fn sources(&self) -> Vec<Source> {
        match self.contents.is_empty() {
            true => Vec::new(),
            false => vec![wgsl!("attention/rules/aux_buffer.wgsl"), wgsl!("attention/rules/sections.wgsl")],
        }
    }

    /// Its size in bytes, if it holds anything, and the dispatches that fill it so far.
    pub(in crate::ops::attention) fn finish(self) -> (Option<u64>, Vec<Dispatch>) {
        // A binding is never empty.
        let bytes = (self.words.max(1) * size_of::<u32>()) as u64;
        ((!self.contents.is_empty()).then_some(bytes), self.fills)
    }

    /// Where the sections begin.
    pub(in crate::ops::attention) fn section_params(&self) -> SectionParams {
        let mut starts = [0; MOST_SECTIONS];
        starts[..self.starts.len()].copy_from_slice(&self.starts);
        starts
    }

    /// The word at which a section begins.
    pub(in crate::ops::attention) fn start(&self, section: u32) -> u32 {
        self.starts[section as usize]
    }

    /// Adds a section of `words` for kernels to write.
    pub(in crate::ops::attention) fn own(&mut self, words: usize) -> Result<u32> {
        let number = self.contents.len();
        self.section(Contents::Own(number), words).map(|(section, _)| section)
    }

    /// The number of a section, which is made unless it is there already, and whether it was made.
    fn section(&mut self, contents: Contents, words: usize) -> Result<(u32, bool)> {
        if let Some(known) = self.contents.iter().position(|&known| known == contents) {
            return Ok((known as u32, false));
        }
        if self.contents.len() == MOST_SECTIONS {
            return Err(Error::new(ErrorKind::Limit, self.op, "rule")
                .expecting(format!("at most {} tensors", MOST_SECTIONS - 4))
                .but_found("more")
                .with_hint("the same tensor in several rules counts once"));
        }
        let start = to_u32(self.op, "rule", self.words)?;
        self.contents.push(contents);
        self.starts.push(start);
        self.words = self.words.saturating_add(words);
        // Every word has an index.
        to_u32(self.op, "rule", self.words)?;
        Ok((self.contents.len() as u32 - 1, true))
    }

    /// Adds a dispatch of `kernel` that fills a section, an invocation for each of `count` words or pairs of them.
    fn fill(&mut self, kernel: Kernel, count: usize) -> Result<()> {
        let count = to_u32(self.op, "rule", count)?;
        let kernel = kernel.write_elements("aux_buffer", self.operand(), DType::U32);
        self.fills.push(kernel.per_element(count, self.caps));
        Ok(())
    }

    /// Adds a dispatch that fills a section made with [`AuxBuffer::own`].
    pub(in crate::ops::attention) fn push(&mut self, dispatch: Dispatch) {
        self.fills.push(dispatch);
    }

    /// A tensor, an element a word: floats as f32.
    pub(super) fn copied(&mut self, tensor: usize) -> Result<u32> {
        let desc = self.desc(tensor);
        let elements = desc.elements();
        let (section, is_new) = self.section(Contents::Copy(tensor), elements)?;
        if is_new && elements > 0 {
            let kernel = Kernel::new("attention/rules/copy", [wgsl!("attention/rules/copy.wgsl")])
                .read("tensor", self.input(tensor), desc.dtype)
                .params(CopyParams { start: self.start(section) });
            self.fill(kernel, elements)?;
        }
        Ok(section)
    }

    /// Where the sequence of each token begins and ends, from ids.
    pub(super) fn ends(&mut self, ids: usize) -> Result<u32> {
        let tokens = self.dims.batch * self.dims.key_time;
        let (section, is_new) = self.section(Contents::Ends(ids), 2 * tokens)?;
        if is_new && tokens > 0 {
            let params =
                EndsParams { start: self.start(section), time: to_u32(self.op, "key", self.dims.key_time)? };
            let kernel =
                Kernel::new("attention/rules/segment_ends", [wgsl!("attention/rules/segment_ends.wgsl")])
                    .read("ids", self.input(ids), DType::I32)
                    .params(params)
                    // Two searches by halves.
                    .turns(2 * 33);
            self.fill(kernel, tokens)?;
        }
        Ok(section)
    }

    /// Whether a list has each position below `time`, and how many of the list lie before it.
    pub(super) fn listed(&mut self, list: usize, time: usize) -> Result<u32> {
        let count = self.dims.batch * time;
        let (section, is_new) = self.section(Contents::Listed(list, time), count)?;
        if is_new && count > 0 {
            let listed = self.desc(list).shape.dims()[1];
            let params = GlobalsParams {
                start: self.start(section),
                time: to_u32(self.op, "time", time)?,
                listed: to_u32(self.op, "globals", listed)?,
            };
            let kernel =
                Kernel::new("attention/rules/mark_globals", [wgsl!("attention/rules/mark_globals.wgsl")])
                    .read("positions", self.input(list), DType::I32)
                    .params(params)
                    .turns(listed as u64);
            self.fill(kernel, count)?;
        }
        Ok(section)
    }

    /// A dense mask, a bit a pair.
    pub(super) fn bits(&mut self, pairs: usize) -> Result<u32> {
        let Dims { query_time, key_time, .. } = self.dims;
        let words = key_time.div_ceil(32);
        let rows = self.desc(pairs).shape.dims()[..2].iter().product::<usize>() * query_time;
        let (section, is_new) = self.section(Contents::Bits(pairs), rows * words)?;
        if is_new && rows * words > 0 {
            let params = BitsParams {
                start: self.start(section),
                columns: to_u32(self.op, "key", key_time)?,
                words: to_u32(self.op, "key", words)?,
            };
            let kernel = Kernel::new("attention/rules/pack_bits", [wgsl!("attention/rules/pack_bits.wgsl")])
                .read("pairs", self.input(pairs), DType::I32)
                .params(params)
                .turns(32);
            self.fill(kernel, rows * words)?;
        }
        Ok(section)
    }

    /// What `table: [slots, heads]` gives each head at each distance, where `slots` has the slot of each.
    pub(super) fn by_distance(&mut self, table: usize, slots: usize) -> Result<u32> {
        let distances = self.desc(slots).elements();
        let count = self.dims.heads * distances;
        let (section, is_new) = self.section(Contents::ByDistance(table, slots), count)?;
        if is_new && count > 0 {
            let params = DistancesParams {
                start: self.start(section),
                heads: to_u32(self.op, "heads", self.dims.heads)?,
                distances: to_u32(self.op, "time", distances)?,
            };
            let kernel =
                Kernel::new("attention/rules/distance_table", [wgsl!("attention/rules/distance_table.wgsl")])
                    .read("table", self.input(table), DType::F32)
                    .read("slots", self.input(slots), DType::I32)
                    .params(params);
            self.fill(kernel, count)?;
        }
        Ok(section)
    }
}
