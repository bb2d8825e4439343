//! SentencePiece's model files: protocol buffers of a few known fields.
//!
//! Fields: <https://github.com/google/sentencepiece/blob/v0.2.0/src/sentencepiece_model.proto>. Wire format:
//! <https://protobuf.dev/programming-guides/encoding>.

use super::accept::MOST_TOKENS;
use crate::{Error, ErrorKind, Result};

/// What is read of a model.
#[derive(Debug, PartialEq)]
pub(super) struct Model {
    pub(super) pieces: Vec<Piece>,
    pub(super) algorithm: Algorithm,
    pub(super) unknown: u32,
    pub(super) has_byte_fallback: bool,
    /// Whether blanks belong to the word before them.
    pub(super) is_suffix: bool,
    /// A map of characters, compiled; empty for none.
    pub(super) charsmap: Vec<u8>,
    pub(super) adds_blank_before: bool,
    pub(super) removes_extra_blanks: bool,
    pub(super) escapes_blanks: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Piece {
    pub(super) text: String,
    /// The logarithm of its probability or, of merges, the negative rank.
    pub(super) score: f32,
    pub(super) kind: PieceKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PieceKind {
    Normal,
    Unknown,
    Control,
    UserDefined,
    Unused,
    Byte,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    Unigram,
    Bpe,
    Word,
    Char,
}

/// A field's value as the wire has it.
enum Wire<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Float(f32),
    /// Eight bytes, of which no field here is.
    Wide,
}

/// The fields of a message, in their order.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn varint(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= u64::from(byte & 0x7F).checked_shl(shift)?;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    /// The next field's number and value; nothing where the bytes are no field.
    fn field(&mut self) -> Option<(u64, Wire<'a>)> {
        let key = self.varint()?;
        let value = match key & 7 {
            0 => Wire::Number(self.varint()?),
            1 => self.take(8).map(|_| Wire::Wide)?,
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                Wire::Bytes(self.take(length)?)
            }
            5 => Wire::Float(f32::from_le_bytes(self.take(4)?.try_into().ok()?)),
            _ => return None,
        };
        Some((key >> 3, value))
    }

    /// Calls `take` with every field; nothing where one is damaged or not of the type that `take` knows it as.
    fn each(mut self, mut take: impl FnMut(u64, Wire<'a>) -> Option<()>) -> Option<()> {
        while !self.0.is_empty() {
            let (number, value) = self.field()?;
            take(number, value)?;
        }
        Some(())
    }
}

impl Wire<'_> {
    fn flag(self) -> Option<bool> {
        if let Self::Number(number) = self { Some(number != 0) } else { None }
    }

    fn number(self) -> Option<u64> {
        if let Self::Number(number) = self { Some(number) } else { None }
    }
}

impl Model {
    /// The model in `bytes`, of the file called `source`.
    ///
    /// Fails when these are no such model, and for more tokens than are read.
    pub(super) fn parse(source: &str, bytes: &[u8]) -> Result<Self> {
        let damaged = || Error::new(ErrorKind::Config, source.to_owned(), "document");
        let model = Self::read(bytes)
            .ok_or_else(|| damaged().expecting("a SentencePiece model").but_found("bytes that are none"))?;
        if model.pieces.is_empty() || model.pieces.len() as u64 > MOST_TOKENS {
            return Err(damaged()
                .expecting(format!("1 to {MOST_TOKENS} pieces"))
                .but_found(model.pieces.len()));
        }
        Ok(model)
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        // Defaults of the format.
        let mut model = Self {
            pieces: Vec::new(),
            algorithm: Algorithm::Unigram,
            unknown: 0,
            has_byte_fallback: false,
            is_suffix: false,
            charsmap: Vec::new(),
            adds_blank_before: true,
            removes_extra_blanks: true,
            escapes_blanks: true,
        };
        Fields(bytes).each(|number, value| match (number, value) {
            (1, Wire::Bytes(piece)) => {
                model.pieces.push(Piece::read(piece)?);
                Some(())
            }
            (2, Wire::Bytes(trainer)) => model.read_trainer(trainer),
            (3, Wire::Bytes(normalizer)) => model.read_normalizer(normalizer),
            (1..=3, _) => None,
            _ => Some(()),
        })?;
        Some(model)
    }

    fn read_trainer(&mut self, bytes: &[u8]) -> Option<()> {
        Fields(bytes).each(|number, value| {
            match number {
                3 => {
                    self.algorithm = match value.number()? {
                        1 => Algorithm::Unigram,
                        2 => Algorithm::Bpe,
                        3 => Algorithm::Word,
                        4 => Algorithm::Char,
                        _ => return None,
                    };
                }
                24 => self.is_suffix = value.flag()?,
                35 => self.has_byte_fallback = value.flag()?,
                40 => self.unknown = u32::try_from(value.number()?).ok()?,
                _ => {}
            }
            Some(())
        })
    }

    fn read_normalizer(&mut self, bytes: &[u8]) -> Option<()> {
        Fields(bytes).each(|number, value| {
            match (number, value) {
                (2, Wire::Bytes(map)) => self.charsmap = map.to_vec(),
                (2, _) => return None,
                (3, value) => self.adds_blank_before = value.flag()?,
                (4, value) => self.removes_extra_blanks = value.flag()?,
                (5, value) => self.escapes_blanks = value.flag()?,
                _ => {}
            }
            Some(())
        })
    }
}

impl Piece {
    fn read(bytes: &[u8]) -> Option<Self> {
        let mut piece = Self { text: String::new(), score: 0.0, kind: PieceKind::Normal };
        Fields(bytes).each(|number, value| {
            match (number, value) {
                (1, Wire::Bytes(text)) => piece.text = str::from_utf8(text).ok()?.to_owned(),
                (2, Wire::Float(score)) => piece.score = score,
                (3, Wire::Number(kind)) => {
                    piece.kind = match kind {
                        1 => PieceKind::Normal,
                        2 => PieceKind::Unknown,
                        3 => PieceKind::Control,
                        4 => PieceKind::UserDefined,
                        5 => PieceKind::Unused,
                        6 => PieceKind::Byte,
                        _ => return None,
                    };
                }
                (1..=3, _) => return None,
                _ => {}
            }
            Some(())
        })?;
        Some(piece)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_and_settings_are_read_and_unknown_fields_passed_over() {
        // piece "a" of score -1.5; trainer: a string, Unigram, unk_id 0; normalizer: no blank before.
        let bytes = b"\x0a\x0a\x0a\x01a\x15\x00\x00\xc0\xbf\x18\x04\x12\x08\x0a\x01x\x18\x01\xc0\x02\x00\x1a\x02\x18\x00";
        let model = Model::parse("spiece.model", bytes).unwrap();
        assert_eq!(model.pieces, [Piece { text: "a".into(), score: -1.5, kind: PieceKind::UserDefined }]);
        assert_eq!((model.algorithm, model.unknown), (Algorithm::Unigram, 0));
        assert!(!model.adds_blank_before && model.removes_extra_blanks);
    }

    #[test]
    fn other_bytes_are_refused() {
        for bytes in [
            &b""[..],
            b"x",
            b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
            b"\x0a\x05\x0a\x01a",
            b"\x0a\x03\x0a\x01\xff",
            b"\x08\x01",
            b"\x0b",
        ] {
            assert_eq!(
                Model::parse("spiece.model", bytes).unwrap_err().kind(),
                ErrorKind::Config,
                "{bytes:?}"
            );
        }
    }
}
