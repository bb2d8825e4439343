//! Configuration files: fields within their ranges, and how damage is told.

use foveate::weights::{Fields, parse_json, read_json};
use foveate::{Error, ErrorKind};

use crate::folder;

#[test]
fn fields_are_read_within_their_ranges() -> Result<(), Error> {
    let json = r#"{"size": 12, "eps": 1e-12, "act": "gelu", "flag": true, "none": null, "wild": -1, "half": 1.5, "inner": {"size": 0}}"#;
    let fields = Fields::new("c.json", parse_json("c.json", json.as_bytes())?)?;
    assert_eq!(fields.usize("size", 1..=12)?, 12);
    assert_eq!(fields.usize_or("none", 1..=12, 5)?, 5);
    assert_eq!(fields.f32("eps", 0.0..=1.0)?, 1e-12);
    assert_eq!(fields.f32("size", 0.0..=100.0)?, 12.0);
    assert_eq!(fields.choice("act", &[("relu", 0), ("gelu", 1)])?, 1);
    assert_eq!(fields.text_or("absent", "x")?, "x");
    assert!(fields.bool("flag")? && fields.bool_or("absent", true)?);
    for (result, expected) in [
        (
            fields.usize("size", 1..=11).map(drop),
            "c.json: size: expected a whole number from 1 to 11, found 12",
        ),
        (
            fields.usize("wild", 0..=11).map(drop),
            "c.json: wild: expected a whole number from 0 to 11, found -1",
        ),
        (
            fields.usize("half", 0..=11).map(drop),
            "c.json: half: expected a whole number from 0 to 11, found 1.5",
        ),
        (
            fields.usize_or("act", 0..=11, 1).map(drop),
            "c.json: act: expected a whole number from 0 to 11, found `gelu`",
        ),
        (
            fields.usize("none", 0..=11).map(drop),
            "c.json: none: expected a whole number from 0 to 11, found no such field",
        ),
        (fields.f32("eps", 0.1..=1.0).map(drop), "c.json: eps: expected a number from 0.1 to 1, found 1e-12"),
        (fields.choice("act", &[("relu", 0)]).map(drop), "c.json: act: expected one of relu, found `gelu`"),
        (fields.text("inner").map(drop), "c.json: inner: expected a string, found an object of 1"),
        (fields.bool("size").map(drop), "c.json: size: expected true or false, found 12"),
        (
            fields.object("inner")?.usize("size", 1..=2).map(drop),
            "c.json: inner.size: expected a whole number from 1 to 2, found 0",
        ),
    ] {
        let error = result.expect_err(expected);
        assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Config, expected));
    }
    Ok(())
}

#[test]
fn json_files_are_bounded_and_damage_is_located() {
    let folder = folder("json");
    let write = |bytes: &[u8]| {
        let path = folder.join("config.json");
        std::fs::write(&path, bytes).expect("the folder is ours");
        read_json(path)
    };
    assert!(write(b"{}").is_ok());
    let error = write(b"{\n  \"a\": x").expect_err("no JSON");
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("config.json: line 2, column 8"), "{error}");
    assert_eq!(write(b"{\"\xFF\": 1}").expect_err("no UTF-8").kind(), ErrorKind::Config);
    assert_eq!(write("[".repeat(1 << 20).as_bytes()).expect_err("too deep").kind(), ErrorKind::Config);
    let error = write(&vec![b' '; (16 << 20) + 1]).expect_err("too large");
    assert!(error.to_string().contains("at most 16777216 bytes"), "{error}");
    assert_eq!(read_json(folder.join("absent")).expect_err("no such file").kind(), ErrorKind::Io);
}
