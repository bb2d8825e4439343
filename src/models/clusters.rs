//! What configurations say of vocabularies in clusters, whose embeddings and scores are the narrower the rarer their words.

use crate::Result;
use crate::nn::Clusters;
use crate::weights::Fields;

impl Clusters {
    /// `vocab_size`, `cutoffs`, which may be none, `d_embed` and `div_val`, for layers of `width` channels.
    pub(super) fn read(fields: &Fields, width: usize) -> Result<Self> {
        let vocab_size = fields.usize("vocab_size", 1..=1 << 24)?;
        let expected = format!("a list of ascending ids from 1 to below {vocab_size}");
        let listed = fields.get("cutoffs").and_then(|value| value.as_array());
        let listed = listed.ok_or_else(|| fields.refuse("cutoffs", &expected))?;
        let id = |value: &serde_json::Value| value.as_u64().and_then(|id| usize::try_from(id).ok());
        let cutoffs: Option<Vec<usize>> = listed.iter().map(id).collect();
        let cutoffs = cutoffs.filter(|cutoffs| {
            [&[0], &cutoffs[..], &[vocab_size]].concat().is_sorted_by(|before, after| before < after)
        });
        let cutoffs = cutoffs.ok_or_else(|| fields.refuse("cutoffs", &expected))?;
        let divisor = fields.usize_or("div_val", 1..=1 << 16, 4)?;
        let embedding = fields.usize_or("d_embed", 1..=1 << 16, 1024)?;
        let smallest = divisor.checked_pow(cutoffs.len() as u32).map_or(0, |by| embedding / by);
        if smallest == 0 {
            return Err(
                fields.refuse("div_val", format!("what leaves {embedding} channels one in every cluster"))
            );
        }
        Ok(Self { vocab_size, cutoffs, width, embedding, divisor })
    }

    /// Whether each cluster's scores are made with the embedding's projection: `tie_projs`, a flag for each cluster; all but the first where it is absent.
    pub(super) fn tied(&self, fields: &Fields) -> Result<Vec<bool>> {
        let count = self.cutoffs.len() + 1;
        let Some(value) = fields.get("tie_projs") else {
            let shares = fields.bool_or("proj_share_all_but_first", true)?;
            return Ok((0..count).map(|cluster| shares && cluster > 0).collect());
        };
        let flags = value.as_array().and_then(|flags| flags.iter().map(serde_json::Value::as_bool).collect());
        flags
            .filter(|flags: &Vec<bool>| flags.len() == count)
            .ok_or_else(|| fields.refuse("tie_projs", format!("{count} flags, one a cluster")))
    }
}
