//! Texts that grow token by token, of every kind of vocabulary.

use foveate::tokenize::Tokenizer;

use super::{fixtures, texts};

#[test]
fn all_that_is_given_out_is_the_whole_text() {
    let vocabularies = fixtures().join("oracles/tokenizers");
    for name in ["bpe-gpt2", "bpe-roberta", "spm-t5", "unigram-t5", "wordpiece-bert"] {
        let folder = vocabularies.join(name);
        let tokenizer = Tokenizer::open(&folder).unwrap_or_else(|error| panic!("{error}"));
        let texts = texts(&folder.join("expected.json"), Some("items"));
        let ids = tokenizer.encode(&texts.join(" ").repeat(3)).expect("it has tokens for all");
        let behind = ids.len() / 2;
        for start in [0, 1, behind] {
            let before = tokenizer.decode(&ids[..start]).expect("they are its ids");
            let mut text = tokenizer.growing(&ids[..start]).expect("they are its ids");
            // The character that is not complete comes with the rest of it.
            let mut found = before.trim_end_matches('\u{fffd}').to_owned();
            for &id in &ids[start..] {
                found += &text.push(id).expect("it is its id");
            }
            found += &text.end().expect("they are its ids");
            assert_eq!(found, tokenizer.decode(&ids).expect("they are its ids"), "{name}, behind {start}");
        }
    }
}
