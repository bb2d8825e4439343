//! Files beside a vocabulary, old formats, and fields of either that decide the ids.

use std::path::PathBuf;

use foveate::tokenize::Tokenizer;
use foveate::{Error, ErrorKind};

use crate::{SOUND, folder, vocabulary};

/// A folder with these files.
fn folder_of(name: &str, files: &[(&str, &str)]) -> PathBuf {
    let folder = folder(name);
    for (file, text) in files {
        std::fs::write(folder.join(file), text).expect("the folder is ours");
    }
    folder
}

const PIECES: &str =
    "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nhello\nHello\nworld\n##s\na\nb\n,\n##b\ncafe\ncafé\n東\n京\n東京\n";

#[test]
fn vocabularies_with_blank_lines_and_repeated_tokens_are_read() -> Result<(), Error> {
    let tokenizer = vocabulary("[PAD]\n[UNK]\n[CLS]\n[SEP]\nun\n\n##able\nun\n.\n");
    assert_eq!(tokenizer.vocab_size(), 9);
    assert_eq!(tokenizer.encode("unable.")?, [2, 7, 6, 8, 3], "the last of two, and blank lines count");
    assert_eq!((tokenizer.token(4).as_deref(), tokenizer.token(5).as_deref()), (Some("un"), Some("")));
    assert_eq!(tokenizer.decode(&[4, 6, 8])?, "unable.", "a model may say the first of two");

    let greedy = vocabulary("a\n\nb\na\n");
    assert_eq!((greedy.vocab_size(), greedy.encode("ab")?), (4, vec![3, 2]));
    assert_eq!(greedy.decode(&[0, 1, 2])?, "ab");
    Ok(())
}

/// As transformers' slow BertTokenizer has them.
#[test]
fn settings_of_word_pieces_are_obeyed() -> Result<(), Error> {
    let encode = |config: &str, text: &str| {
        let folder = folder_of("settings", &[("vocab.txt", PIECES), ("tokenizer_config.json", config)]);
        Tokenizer::open(&folder)?.encode(text)
    };
    let text = "Hello café 東京,b";
    for (config, expected) in [
        (r#"{"tokenizer_class": "BertTokenizer"}"#, [2, 5, 13, 15, 16, 11, 10, 3].to_vec()),
        (r#"{"do_lower_case": false}"#, vec![2, 6, 14, 15, 16, 11, 10, 3]),
        (r#"{"strip_accents": false}"#, vec![2, 5, 14, 15, 16, 11, 10, 3]),
        (r#"{"tokenize_chinese_chars": false}"#, vec![2, 5, 13, 17, 11, 10, 3]),
        // Words end at blanks only, and `東京,b` is none of the vocabulary.
        (r#"{"do_basic_tokenize": false}"#, vec![2, 6, 14, 1, 3]),
    ] {
        assert_eq!(encode(config, text)?, expected, "{config}");
    }
    let error = encode(r#"{"never_split": ["b"]}"#, text).expect_err("words that stay whole");
    assert!(error.to_string().contains("tokenizer_config.json: never_split"), "{error}");
    // MPNet's template puts two separators between texts.
    let mpnet = "<s>\n<pad>\n</s>\n[UNK]\na\n##b\n<mask>\n";
    let folder = folder_of(
        "mpnet",
        &[("vocab.txt", mpnet), ("tokenizer_config.json", r#"{"tokenizer_class": "MPNetTokenizer"}"#)],
    );
    let pair = Tokenizer::open(&folder)?.encode_texts(&["a", "ab"], 9)?;
    assert_eq!(pair.ids, [0, 4, 2, 2, 4, 5, 2]);
    assert_eq!(pair.types, [0, 0, 0, 0, 1, 1, 1]);
    Ok(())
}

#[test]
fn an_unknown_class_is_refused() {
    for file in ["tokenizer_config.json", "config.json"] {
        for class in ["BertJapaneseTokenizer", "SmilesTokenizer", "TokenizerFast", ""] {
            let config = format!(r#"{{"tokenizer_class": "{class}"}}"#);
            let folder =
                folder_of("class", &[("vocab.txt", PIECES), ("tokenizer.json", SOUND), (file, &config)]);
            let error = Tokenizer::open(&folder).expect_err("no such class");
            assert_eq!(error.kind(), ErrorKind::Config);
            let shown = error.to_string();
            assert!(
                shown.contains(file) && shown.contains("tokenizer_class") && shown.contains("Bert"),
                "{shown}"
            );
        }
    }
    let folder = folder_of(
        "class",
        &[
            ("tokenizer.json", SOUND),
            ("tokenizer_config.json", r#"{"tokenizer_class": "PreTrainedTokenizerFast"}"#),
        ],
    );
    assert!(Tokenizer::open(&folder).is_ok());
}

/// Every way in which a folder names tokens beside its vocabulary.
#[test]
fn added_tokens_are_found_in_texts_and_have_their_ids() -> Result<(), Error> {
    let config = r#"{"added_tokens_decoder": {
        "19": {"content": "[B]", "special": false, "normalized": true, "single_word": true},
        "18": {"content": "<ent>", "lstrip": true, "special": true}},
        "extra_special_tokens": {"image_token": "<image>"}}"#;
    for (name, files, special) in [
        ("added", vec![("added_tokens.json", r#"{"[B]": 19, "<ent>": 18}"#)], vec![0, 1, 2, 3, 4]),
        (
            "additional",
            vec![(
                "special_tokens_map.json",
                r#"{"additional_special_tokens": ["<ent>", {"content": "[B]"}]}"#,
            )],
            vec![0, 1, 2, 3, 4, 18, 19],
        ),
        ("decoder", vec![("tokenizer_config.json", config)], vec![0, 1, 2, 3, 4, 18, 20]),
    ] {
        let folder = folder_of(&format!("tokens-{name}"), &[&[("vocab.txt", PIECES)], &files[..]].concat());
        let tokenizer = Tokenizer::open(&folder)?;
        assert_eq!(tokenizer.encode("a <ent> b [B]")?, [2, 9, 18, 10, 19, 3], "{name}");
        assert_eq!(tokenizer.special_ids().collect::<Vec<_>>(), special, "{name}");
        assert_eq!((tokenizer.id("<ent>"), tokenizer.token(19).as_deref()), (Some(18), Some("[B]")));
        // One is a word of its own only.
        let inside = if name == "decoder" { vec![2, 9, 1, 10, 1, 10, 3] } else { vec![2, 9, 19, 10, 3] };
        assert_eq!(tokenizer.encode("a[B]b")?, inside, "{name}");
    }
    // Ids that leave a gap behind the vocabulary, or that a repeated line leaves.
    let gap =
        [("vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\na\n##a\na\n"), ("added_tokens.json", r#"{"<ent>": 9}"#)];
    assert_eq!(Tokenizer::open(folder_of("tokens-gap", &gap))?.encode("a<ent>")?, [2, 6, 9, 3]);

    // A vocabulary without words has all its tokens itself.
    for (file, text, part) in [
        ("added_tokens.json", r#"{"<e>": 2}"#, "the added token `<e>`"),
        ("added_tokens.json", r#"{"b": 0}"#, "found id 1"),
        ("tokenizer_config.json", r#"{"do_lower_case": true}"#, "do_lower_case"),
        ("tokenizer_config.json", r#"{"truncation_side": "left"}"#, "truncation_side"),
        ("sentence_bert_config.json", r#"{"do_lower_case": true}"#, "do_lower_case"),
    ] {
        let error =
            Tokenizer::open(folder_of("greedy", &[("vocab.txt", "a\nb\n"), (file, text)])).expect_err(text);
        assert!(error.to_string().contains(part), "{error}");
    }
    let known = [("vocab.txt", "a\nb\n"), ("added_tokens.json", r#"{"b": 1}"#)];
    assert_eq!(Tokenizer::open(folder_of("greedy", &known))?.encode("ab")?, [0, 1]);

    for (file, text, part) in [
        ("added_tokens.json", r#"{"a": 3}"#, "expected id 9, found 3"),
        ("added_tokens.json", r#"{"<ent>": 3}"#, "an id that no other token has"),
        ("added_tokens.json", r#"{"<ent>": -1}"#, "added_tokens.json: <ent>"),
        (
            "tokenizer_config.json",
            r#"{"added_tokens_decoder": {"x": {"content": "y"}}}"#,
            "added_tokens_decoder.x",
        ),
        ("special_tokens_map.json", r#"{"additional_special_tokens": [3]}"#, "additional_special_tokens"),
        ("tokenizer_config.json", r#"{"extra_special_tokens": "<e>"}"#, "extra_special_tokens"),
        ("tokenizer_config.json", r#"{"truncation_side": "top"}"#, "truncation_side"),
    ] {
        let folder = folder_of("tokens-damaged", &[("vocab.txt", PIECES), (file, text)]);
        let error = Tokenizer::open(&folder).expect_err(text);
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains(part), "{error}");
    }
    Ok(())
}

/// `tokenizer.json` of versions before 0.9, which name no type of the model.
#[test]
fn old_documents_are_read() -> Result<(), Error> {
    let untyped = SOUND.replace(r#""type": "WordLevel", "#, "");
    assert_ne!(untyped, SOUND);
    assert_eq!(Tokenizer::from_json_bytes("tokenizer.json", untyped.as_bytes())?.algorithm(), "whole words");
    let with_model = |model: &str| {
        let at = SOUND.find(r#""model": "#).expect("it is there");
        let json = format!("{}\"model\": {model}}}", &SOUND[..at]);
        Tokenizer::from_json_bytes("tokenizer.json", json.as_bytes()).map(|tokenizer| tokenizer.algorithm())
    };
    let pieces = r###"{"unk_token": "x", "continuing_subword_prefix": "##", "max_input_chars_per_word": 9, "vocab": {"x": 0, "[MASK]": 1, "": 2}}"###;
    assert_eq!(with_model(pieces)?, "WordPiece");
    assert_eq!(
        with_model(r#"{"vocab": {"x": 0, "[MASK]": 1, "xx": 2, "": 3, " ": 4}, "merges": ["x x"]}"#)?,
        "BPE"
    );
    assert_eq!(
        with_model(r#"{"unk_id": 0, "vocab": [["x", 0], ["[MASK]", 0], ["", -1], [" ", -2]]}"#)?,
        "Unigram"
    );
    // A token without a name beside the vocabulary.
    let blank = SOUND.replace(
        r#""added_tokens": ["#,
        r#""added_tokens": [{"id": 7, "content": "", "special": true, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false}, "#,
    );
    assert_eq!(Tokenizer::from_json_bytes("tokenizer.json", blank.as_bytes())?.encode("b")?, [0, 5]);
    Ok(())
}

/// `tokenizer_config.json` over `tokenizer.json`.
#[test]
fn settings_change_a_document_or_are_refused() -> Result<(), Error> {
    let bert = SOUND.replace(
        r#"{"type": "Lowercase"}"#,
        r#"{"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null, "lowercase": true}"#,
    );
    let bert = bert.replace(r#""b": 5"#, r#""b": 5, "B": 6, "é": 7, "e": 8"#);
    let open = |document: &str, config: &str| {
        let files = [("tokenizer.json", document), ("tokenizer_config.json", config)];
        Tokenizer::open(folder_of("document", &files))
    };
    assert_eq!(open(&bert, "{}")?.encode("B é")?, [0, 5, 8]);
    assert_eq!(open(&bert, r#"{"do_lower_case": false}"#)?.encode("B é")?, [0, 6, 7]);
    assert_eq!(open(&bert, r#"{"strip_accents": false}"#)?.encode("B é")?, [0, 5, 7]);
    // That class does not read it.
    let other = r#"{"do_lower_case": false, "tokenizer_class": "PreTrainedTokenizerFast"}"#;
    assert_eq!(open(&bert, other)?.encode("B é")?, [0, 5, 8]);
    assert_eq!(open(SOUND, r#"{"do_lower_case": true}"#)?.encode("B")?, [0, 5]);
    assert_eq!(open(SOUND, r#"{"truncation_side": "left"}"#)?.encode_truncated("b [MASK] c", 2)?, [0, 0]);
    assert_eq!(open(SOUND, r#"{"split_special_tokens": true}"#)?.encode("[MASK]")?, [0, 0, 0, 0]);
    assert_eq!(open(SOUND, r#"{"additional_special_tokens": ["<e>"]}"#)?.encode("b<e>")?, [0, 5, 6]);
    let flags = r#"{"mask_token": {"content": "[MASK]", "lstrip": true, "rstrip": true}}"#;
    let offsets = open(SOUND, flags)?.encode_texts(&["b [MASK] b"], 9)?.offsets;
    assert_eq!(offsets[1..], [0..1, 1..9, 9..10]);
    for (config, part) in [
        (r#"{"do_lower_case": false}"#, "do_lower_case: expected true"),
        (r#"{"add_bos_token": true, "bos_token": "[MASK]"}"#, "add_bos_token"),
        (r#"{"add_eos_token": true}"#, "add_eos_token"),
        (r#"{"do_lower_case": 1}"#, "do_lower_case"),
    ] {
        let error = open(SOUND, config).expect_err(config);
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(
            error.to_string().contains("tokenizer_config.json") && error.to_string().contains(part),
            "{error}"
        );
    }
    let types = bert.replace(
        r#""pair": []"#,
        r#""pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}]"#,
    );
    assert_eq!(open(&types, "{}")?.encode_texts(&["b", "b"], 9)?.types, [0, 1]);
    let names = r#"{"model_input_names": ["input_ids", "attention_mask"]}"#;
    assert_eq!(open(&types, names)?.encode_texts(&["b", "b"], 9)?.types, [0, 0]);
    let points = SOUND.replace(r#""b": 5"#, r#""b": 5, ".": 6, "n't": 7"#);
    assert_eq!(open(&points, "{}")?.decode(&[5, 6, 5, 7])?, "b . b n't");
    assert_eq!(open(&points, r#"{"clean_up_tokenization_spaces": true}"#)?.decode(&[5, 6, 5, 7])?, "b. bn't");
    let lower = SOUND.replace(r#""normalizer": {"type": "Lowercase"}"#, r#""normalizer": {"type": "NFC"}"#);
    let files =
        [("tokenizer.json", lower.as_str()), ("sentence_bert_config.json", r#"{"do_lower_case": true}"#)];
    assert_eq!(Tokenizer::open(folder_of("lower", &files))?.encode("B [MASK]")?, [0, 5, 1]);
    assert_eq!(open(&lower, "{}")?.encode("B")?, [0, 0]);
    Ok(())
}

#[test]
fn vocabularies_that_several_classes_read_need_one() -> Result<(), Error> {
    let bpe = [
        ("vocab.json", r#"{"a": 0, "b": 1, "ab": 2, "<s>": 3, "</s>": 4, "<unk>": 5}"#),
        ("merges.txt", "#version: 0.2\na b\n"),
    ];
    let with = |config: &str| {
        let files = [&bpe[..], &[("tokenizer_config.json", config)]].concat();
        Tokenizer::open(folder_of("bpe", &files))
    };
    for config in
        ["{}", r#"{"tokenizer_class": "T5Tokenizer"}"#, r#"{"tokenizer_class": "BloomTokenizerFast"}"#]
    {
        let error = with(config).expect_err("which class?");
        assert!(
            error.to_string().contains("vocab.json: tokenizer_class")
                && error.to_string().contains("Roberta"),
            "{error}"
        );
    }
    assert_eq!(with(r#"{"tokenizer_class": "RobertaTokenizer"}"#)?.encode("abx")?, [3, 2, 5, 4]);
    // By the family of the model, and with settings.
    let gpt2 = [&bpe[..], &[("config.json", r#"{"model_type": "gpt2"}"#)]].concat();
    assert_eq!(Tokenizer::open(folder_of("bpe-model", &gpt2))?.encode("ab")?, [2]);
    let start = r#"{"tokenizer_class": "GPT2Tokenizer", "add_bos_token": true, "bos_token": "<s>"}"#;
    assert_eq!(with(start)?.encode("ab")?, [3, 2]);
    let error =
        with(r#"{"tokenizer_class": "GPT2Tokenizer", "errors": "ignore"}"#).expect_err("bytes are replaced");
    assert!(error.to_string().contains("errors"), "{error}");
    for (file, text, part) in [
        ("merges.txt", "a b c\n", "merges.txt: line 1: expected two pieces"),
        ("merges.txt", "a x\n", "model.merges.0"),
        ("vocab.json", "[]", "vocab.json"),
    ] {
        let files = [&bpe[..], &[("tokenizer_config.json", start), (file, text)]].concat();
        let error = Tokenizer::open(folder_of("bpe-damaged", &files)).expect_err(text);
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains(part), "{error}");
    }
    let error = Tokenizer::open(folder_of("alone", &bpe[..1])).expect_err("merges are missing");
    assert!(error.to_string().contains("vocab.json, which is not read alone"), "{error}");
    let model =
        [("spiece.model", "\u{12}\u{0}"), ("tokenizer_config.json", r#"{"tokenizer_class": "T5Tokenizer"}"#)];
    let error = Tokenizer::open(folder_of("spiece", &model)).expect_err("no pieces");
    assert!(error.to_string().contains("spiece.model"), "{error}");
    Ok(())
}
