//! What each token adds, and that few tokens are decoded again with it, of vocabularies that are made here.

use serde_json::{Value, json};

use crate::tokenize::Tokenizer;

fn opened(model: Value, decoder: Value) -> Tokenizer {
    let json = json!({"version": "1.0", "added_tokens": [], "normalizer": null, "pre_tokenizer": null,
        "post_processor": null, "decoder": decoder, "model": model});
    Tokenizer::from_json_bytes("tokenizer.json", json.to_string().as_bytes()).unwrap()
}

/// What each of `ids` gives, and the rest.
fn grown(tokenizer: &Tokenizer, ids: &[u32]) -> Vec<String> {
    let mut text = tokenizer.growing(&[]).unwrap();
    let mut parts: Vec<String> = ids
        .iter()
        .map(|&id| {
            let part = text.push(id).unwrap();
            assert!(text.tail.len() < 48, "{} tokens are decoded each time", text.tail.len());
            part
        })
        .collect();
    parts.push(text.end().unwrap());
    parts
}

/// Byte-level BPE without merges: a token for each byte, which the crate spells as GPT-2 does.
fn bytes() -> Tokenizer {
    let mut others = 0x100..;
    let spelled = |byte: u8| match byte {
        b'!'..=b'~' | 0xa1..=0xac | 0xae.. => char::from(byte),
        _ => char::from_u32(others.next().unwrap()).unwrap(),
    };
    let vocab: serde_json::Map<String, Value> =
        (0..=255).map(spelled).zip(0..).map(|(c, id): (char, u32)| (c.into(), id.into())).collect();
    let model = json!({"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
        "end_of_word_suffix": null, "fuse_unk": false, "vocab": vocab, "merges": []});
    opened(
        model,
        json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true}),
    )
}

#[test]
fn characters_come_when_their_last_byte_is_there() {
    let tokenizer = bytes();
    let text = "a\u{20ac} \u{1f600}b".repeat(40);
    let ids: Vec<u32> = text.bytes().map(u32::from).collect();
    let parts = grown(&tokenizer, &ids);
    assert_eq!(parts[..9], ["a", "", "", "\u{20ac}", " ", "", "", "", "\u{1f600}"]);
    assert_eq!(parts.concat(), text);
    // What never becomes a character is given out at last, and before that where there is much of it.
    let broken: Vec<u32> = [0xe2, 0x82, 0x62].into_iter().chain([0xff; 200]).collect();
    let parts = grown(&tokenizer, &broken);
    assert_eq!(parts[..3], ["", "", "\u{fffd}b"]);
    assert_eq!(parts.concat(), tokenizer.decode(&broken).unwrap());
}

/// Pieces with a blank before each word, of which the text loses the first, and bytes of what has no piece.
#[test]
fn blanks_before_words_stay_but_for_the_first() {
    let byte = |byte: u8| format!("<0x{byte:02X}>");
    let words = ["<unk>", "\u{2581}a", "\u{2581}b", "c", "\u{2581}"].map(str::to_owned);
    let vocab: Vec<Value> =
        words.into_iter().chain((0..=255).map(byte)).map(|piece| json!([piece, -1.0])).collect();
    let model = json!({"type": "Unigram", "unk_id": 0, "vocab": vocab, "byte_fallback": true});
    let metaspace =
        json!({"type": "Metaspace", "replacement": "\u{2581}", "prepend_scheme": "always", "split": true});
    let tokenizer =
        opened(model, json!({"type": "Sequence", "decoders": [{"type": "ByteFallback"}, metaspace]}));
    let emoji: Vec<u32> = "\u{1f600}".bytes().map(|byte| u32::from(byte) + 5).collect();
    let ids = [&[1, 2, 3, 4, 3][..], &emoji, &[2], &emoji.repeat(20), &[1]].concat().repeat(3);
    let parts = grown(&tokenizer, &ids);
    assert_eq!(parts[..10], ["a", " b", "c", " ", "c", "", "", "", "\u{1f600}", " b"]);
    assert_eq!(parts.concat(), tokenizer.decode(&ids).unwrap());
}

#[test]
fn pieces_of_words_are_joined_and_punctuation_waits() {
    let words = ["[UNK]", "do", "n", "'", "t", "##ing", ".", "wait"];
    let tokenizer = Tokenizer::from_vocabulary_bytes("vocab.txt", words.join("\n").as_bytes()).unwrap();
    let ids = [[7, 5, 5, 5].as_slice(), &[5; 12], &[1, 2, 3, 4, 6, 7, 5, 6]].concat().repeat(4);
    assert_eq!(grown(&tokenizer, &ids).concat(), tokenizer.decode(&ids).unwrap());
}

#[test]
fn words_that_go_on_and_what_was_there_before() {
    let tokenizer = bytes();
    let mut text = tokenizer.growing(&[0x61; 100]).unwrap();
    assert_eq!(
        (text.push(0x62).unwrap(), text.push(1000).unwrap(), text.end().unwrap()),
        ("b".into(), "".into(), "".into())
    );
    // The prompt ends inside a character.
    let mut text = tokenizer.growing(&[0x61, 0xe2, 0x82]).unwrap();
    assert_eq!(text.push(0xac).unwrap(), "\u{20ac}");
}
