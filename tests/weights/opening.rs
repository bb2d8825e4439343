//! Files that are read, and files that are mapped.

use std::error::Error as _;
use std::io;

use foveate::weights::{Checkpoint, read_json};

use crate::{fixtures, folder};

#[test]
#[expect(unsafe_code, reason = "nobody changes the fixtures while the map lives")]
fn a_map_holds_what_reading_gives() {
    let model = fixtures().join("roberta-sapiens");
    let read = Checkpoint::open(&model).unwrap();
    // SAFETY: the fixtures stay as they are while the tests run.
    let mapped = unsafe { Checkpoint::map(&model) }.unwrap();
    assert!(read.names().eq(mapped.names()) && read.names().count() > 10);
    for name in read.names() {
        let [read, mapped] = [&read, &mapped].map(|checkpoint| checkpoint.tensor(name).unwrap());
        assert_eq!((read.shape(), read.bytes()), (mapped.shape(), mapped.bytes()), "{name}");
    }
    // SAFETY: as above.
    let absent = unsafe { Checkpoint::map(model.join("none.safetensors")) }.unwrap_err();
    assert_eq!(absent, Checkpoint::open(model.join("none.safetensors")).unwrap_err());
}

#[test]
fn errors_keep_what_the_system_said() {
    let absent = Checkpoint::open(fixtures().join("none.safetensors")).unwrap_err();
    let cause =
        absent.source().and_then(|cause| cause.downcast_ref::<io::Error>()).expect("the system refused");
    assert_eq!(cause.kind(), io::ErrorKind::NotFound);
    assert_eq!(absent.found(), cause.to_string());
    let path = folder("causes").join("damaged.json");
    std::fs::write(&path, "{\"a\": ").unwrap();
    let damaged = read_json(&path).unwrap_err();
    assert!(damaged.source().is_some_and(|cause| cause.is::<serde_json::Error>()));
    let ours = foveate::Graph::new().input("x", foveate::TensorDesc::f32([1; 9])).unwrap_err();
    assert!(ours.source().is_none(), "{ours}");
}
