//! A rule for kernels: mask and score modifiers compiled to WGSL functions, what these read packed into an auxiliary buffer, and block
//! lists where the visible keys of a query are not one contiguous range.

mod aux_buffer;
mod block_lists;
mod mask;
mod positions;
mod score;

pub(in crate::ops::attention) use aux_buffer::{AuxBuffer, SectionParams};
pub(in crate::ops::attention) use block_lists::{BlockLists, Tiles, make_block_lists};

use super::{Rule, Term};
use crate::Result;
use crate::kernel::{Generated, Shader, Source, wgsl};
use crate::ops::attention::Dims;

/// A rule in WGSL, which reads its tensors from the auxiliary buffer.
#[derive(Clone, Debug)]
pub(in crate::ops::attention) struct CompiledRule {
    /// Files whose functions the generated text calls.
    sources: Vec<Source>,
    /// `sees`, `meets` and what they need, where the visible keys are not one contiguous range.
    mask: Option<Vec<Generated>>,
    /// `content`, `added`, `ramp`, `custom`, and what they need.
    scores: Vec<Generated>,
    /// `add_to_slots`, for passes that own queries and for those that own keys.
    slots: [Generated; 2],
    /// Sections of lengths and segments, where the mask is a range.
    lengths: Option<u32>,
    ends: Option<u32>,
    /// The section of where queries begin.
    starts: Option<u32>,
    traits: Traits,
}

/// What the templates fix by constants.
#[derive(Clone, Copy, Debug, Default)]
struct Traits {
    content: bool,
    added: bool,
    custom: bool,
    ramp: bool,
    packed: bool,
    by_batch: bool,
    by_head: bool,
}

impl CompiledRule {
    /// Composes the WGSL of `rule`, and packs what it reads into `aux`.
    pub(in crate::ops::attention) fn compile(
        rule: &Rule,
        dims: &Dims,
        aux: &mut AuxBuffer<'_>,
        backward: bool,
    ) -> Result<Self> {
        let ranges = rule.ranges();
        let has = |is: fn(&Term) -> bool| rule.terms.iter().any(is);
        let mut traits = Traits {
            content: has(|term| matches!(term, Term::QueryTable { .. } | Term::KeyTable { .. })),
            added: has(|term| {
                matches!(
                    term,
                    Term::Bias { .. } | Term::Alibi { .. } | Term::Gaussian { .. } | Term::Distances { .. }
                )
            }),
            custom: has(|term| matches!(term, Term::Custom(_))),
            ramp: has(|term| matches!(term, Term::Ramp { .. })),
            ..Traits::default()
        };
        let starts = rule.query_start.map(|tensor| aux.copied(tensor)).transpose()?;
        let scores = score::compose(rule, aux, backward)?;
        let mut sources = scores.sources.clone();
        let (mut lengths, mut ends, mut mask) = (None, None, None);
        match ranges {
            Some(ranges) => {
                lengths = ranges.lengths.map(|tensor| aux.copied(tensor)).transpose()?;
                ends = ranges.segments.map(|tensor| aux.ends(tensor)).transpose()?;
            }
            None => {
                let composed = mask::compose(rule, dims, aux)?;
                (traits.by_batch, traits.by_head, traits.packed) =
                    (composed.by_batch, composed.by_head, composed.packed);
                // An adaptive span is both a mask and a factor.
                sources
                    .extend(composed.sources.into_iter().filter(|source| !scores.sources.contains(source)));
                mask = Some(composed.generated);
            }
        }
        Ok(Self {
            sources,
            mask,
            scores: scores.functions,
            slots: scores.slots,
            lengths,
            ends,
            starts,
            traits,
        })
    }

    /// Whether the visible keys are not one contiguous range, so that tiles walk along block lists.
    pub(in crate::ops::attention) fn uses_block_lists(&self) -> bool {
        self.mask.is_some()
    }

    /// Whether sequences are packed, so that tiles far from each other share no keys.
    pub(in crate::ops::attention) fn is_packed(&self) -> bool {
        self.ends.is_some() || self.traits.packed
    }

    /// `sees`, `meets` and what they need, for the dispatch that makes block lists.
    fn mask_functions(&self) -> impl Iterator<Item = Generated> + '_ {
        let start = self.starts.map(|section| positions::query_start(Some(section)));
        start.into_iter().chain(self.mask.iter().flatten().cloned())
    }

    /// What pairs add to the sums of key rows, or of query rows.
    pub(in crate::ops::attention) fn slots(&self, by_key: bool) -> &Generated {
        &self.slots[usize::from(by_key)]
    }

    /// The functions that say where queries stand and, where the mask is a range, which keys a batch item has and which a packed sequence:
    /// the first, and the first behind it. segment_ends.wgsl has found where each begins and ends.
    fn ranges(&self) -> Generated {
        let end = match self.lengths {
            Some(section) => {
                format!("clamp(integer(section({section}u) + batch), 0, i32(params.key_time))")
            }
            None => "i32(params.key_time)".into(),
        };
        let ends = |section: u32, token: &str| {
            format!(
                "    let at = section({section}u) + 2u * (batch * params.key_time + u32({token}));
    let ends = vec2(integer(at), integer(at + 1u));
"
            )
        };
        let segment = match (self.ends, self.starts) {
            (Some(section), None) => ends(section, "token") + "    return ends;",
            // Queries before the first token see nothing, nor do those behind the last.
            (Some(section), Some(_)) => {
                "    let own = clamp(token, 0, i32(params.key_time) - 1);\n".to_owned()
                    + &ends(section, "own")
                    + "    return select(vec2(own + i32(token > 0)), ends, own == token);"
            }
            (None, _) => "    return vec2(0, i32(params.key_time));".into(),
        };
        // Queries and keys are the same tokens from the first on, unless queries begin elsewhere.
        let (token, shift) = match self.starts {
            Some(_) => ("query_start(batch)", "query_start(batch) + params.relative_shift"),
            None => ("0", "params.relative_shift"),
        };
        let text = format!(
            "fn key_end(batch: u32) -> i32 {{
    return {end};
}}

fn segment(batch: u32, token: i32) -> vec2<i32> {{
{segment}
}}

fn first_token(batch: u32) -> i32 {{
    return {token};
}}

fn relative_shift(batch: u32) -> i32 {{
    return {shift};
}}
"
        );
        Generated { label: "(the mask's ranges)".into(), text, by_user: false }
    }

    /// Gives a kernel the rule's functions and constants.
    pub(in crate::ops::attention) fn equip(&self, mut shader: Shader, rule: &Rule) -> Shader {
        shader.sources.extend(&self.sources);
        if self.uses_block_lists() || !rule.terms.is_empty() {
            shader.sources.push(wgsl!("attention/rules/positions.wgsl"));
        }
        if rule.relative_keys().is_some() {
            shader.sources.push(wgsl!("attention/relative.wgsl"));
        }
        let band = rule.ranges().is_some_and(|ranges| ranges.band.hides());
        shader
            .generated([positions::query_start(self.starts), self.ranges()])
            .generated(self.mask.iter().flatten().chain(&self.scores).cloned())
            .constant("SEGMENTS", self.ends.is_some())
            .constant("BAND", band)
            .constant("SOFTCAP", rule.softcap.is_some())
            .constant("CONTENT", self.traits.content)
            .constant("ADDED", self.traits.added)
            .constant("CUSTOM", self.traits.custom)
            .constant("RAMP", self.traits.ramp)
            .constant("LISTED", self.uses_block_lists())
            .constant("QUERY_VECTORS", rule.query_vectors() as u32)
    }
}
