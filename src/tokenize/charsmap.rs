//! Whether SentencePiece's compiled normaliser can be walked: the tokenizers crate follows its indices unchecked.
//!
//! The bytes are the trie's length, the trie (a darts-clone double array of u32 units) and the replacements, each ended by a
//! zero: <https://github.com/google/sentencepiece/blob/v0.2.0/src/normalizer.cc>, `DecodePrecompiledCharsMap`.

/// Bytes of the longest replacement, where every walk from the root stays inside the trie, and every replacement starts at a
/// character.
pub(super) fn longest_replacement(base64: &str) -> Option<usize> {
    walk(&decode(base64)?)
}

fn walk(bytes: &[u8]) -> Option<usize> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let units = u32::from_le_bytes(*length) as usize / 4;
    let (trie, replacements) = rest.split_at_checked(units * 4)?;
    let trie: Vec<usize> =
        trie.as_chunks::<4>().0.iter().map(|&unit| u32::from_le_bytes(unit) as usize).collect();
    let replacements = str::from_utf8(replacements).ok()?;

    let mut seen = vec![false; trie.len()];
    let mut open = vec![offset(*trie.first()?)];
    while let Some(base) = open.pop() {
        if std::mem::replace(seen.get_mut(base)?, true) {
            continue;
        }
        for byte in 1..=255 {
            // Looked at before its label tells whether it belongs to this node.
            let child = base ^ byte;
            let unit = *trie.get(child)?;
            if unit & (1 << 31 | 0xFF) != byte {
                continue;
            }
            let next = child ^ offset(unit);
            let value = trie.get(next)? & ((1 << 31) - 1);
            let has_leaf = unit >> 8 & 1 == 1;
            if has_leaf && !replacements.is_char_boundary(value) {
                return None;
            }
            open.push(next);
        }
    }
    replacements.split('\0').map(str::len).max()
}

/// Distance from a unit to the base of its children, in darts-clone's packing.
fn offset(unit: usize) -> usize {
    (unit >> 10) << ((unit & (1 << 9)) >> 6)
}

/// Base64 with the standard alphabet and padding (RFC 4648, section 4).
fn decode(text: &str) -> Option<Vec<u8>> {
    let (groups, rest) = text.as_bytes().as_chunks::<4>();
    if !rest.is_empty() {
        return None;
    }
    let mut bytes = Vec::with_capacity(groups.len() * 3);
    for (index, group) in groups.iter().enumerate() {
        let padding = group.iter().rev().take_while(|&&digit| digit == b'=').count();
        if padding > 2 || (padding > 0 && index + 1 < groups.len()) {
            return None;
        }
        let digits =
            group[..4 - padding].iter().try_fold(0, |bits, &digit| Some(bits << 6 | value(digit)?))?;
        let [_, triple @ ..] = (digits << (6 * padding)).to_be_bytes();
        bytes.extend_from_slice(&triple[..3 - padding]);
    }
    Some(bytes)
}

/// Base64 of `bytes`, as [`decode`] reads it.
pub(super) fn encode(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for triple in bytes.chunks(3) {
        let byte = |at: usize| u32::from(triple.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * place)) as usize & 63];
            text.push(if place <= triple.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

fn value(digit: u8) -> Option<u32> {
    Some(
        match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        }
        .into(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A trie of one node whose only child is `label`, with a leaf of `value`.
    fn trie(label: u32, value: u32, units: usize, replacements: &str) -> Vec<u8> {
        let mut array = vec![0_u32; units];
        // The root's children lie at 256 ^ byte; the child's own base is 256 further, where its leaf lies.
        array[0] = 256 << 10;
        let child = 256 ^ label;
        array[child as usize] = (child ^ 512) << 10 | 1 << 8 | label;
        array[512] = value | 1 << 31;
        let mut bytes = (units as u32 * 4).to_le_bytes().to_vec();
        bytes.extend(array.iter().flat_map(|unit| unit.to_le_bytes()));
        bytes.extend(replacements.as_bytes());
        bytes
    }

    #[test]
    fn walks_that_stay_inside_are_sound() {
        assert_eq!(walk(&trie(b'a'.into(), 2, 768, "x\0yyy\0")), Some(3));
    }

    #[test]
    fn walks_that_leave_are_not() {
        assert!(
            walk(&trie(b'a'.into(), 2, 600, "x\0y\0")).is_none(),
            "the child's children lie behind the end"
        );
        assert!(walk(&trie(b'a'.into(), 9, 768, "x\0y\0")).is_none(), "the replacement lies behind the end");
        assert!(
            walk(&trie(b'a'.into(), 1, 768, "ä\0")).is_none(),
            "the replacement starts inside a character"
        );
        assert!(walk(&u32::MAX.to_le_bytes()).is_none(), "the length is a lie");
        assert!(walk(&[]).is_none());
    }

    #[test]
    fn base64_is_decoded() {
        assert_eq!(decode("Zm9vYmE=").as_deref(), Some(&b"fooba"[..]));
        assert_eq!(decode("+/8="), Some(vec![0xFB, 0xFF]));
        assert_eq!(decode("Zm9"), None);
        assert_eq!(decode("Z===m9v"), None);
        assert_eq!(decode("Zm=v"), None);
        for bytes in [&b""[..], b"f", b"fo", b"foo", b"fooba", &[0xFB, 0xFF, 0, 1]] {
            assert_eq!(decode(&encode(bytes)).as_deref(), Some(bytes));
        }
    }
}
