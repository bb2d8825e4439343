//! Errors about one of several recordings, which the library calls by their numbers.

use std::fmt::Display;

use foveate::Error;

/// The error with the recording's file in the place of its number: `sound 1` and `target 1` are the sound and the text of `files[1]`.
pub(crate) fn within_file(error: Error, files: &[impl Display]) -> Error {
    let mut words = error.argument().split(' ');
    let (what, number) = (words.next(), words.next().and_then(|number| number.parse::<usize>().ok()));
    match (what, number.and_then(|number| files.get(number))) {
        (Some(what @ ("sound" | "target")), Some(file)) => {
            let what = if what == "target" { "text" } else { what };
            Error::new(error.kind(), file.to_string(), what)
                .expecting(error.expected())
                .but_found(error.found())
        }
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use foveate::ErrorKind;

    use super::*;

    #[test]
    fn errors_name_the_file_of_their_number() {
        let of = |argument: &str| {
            let error = Error::new(ErrorKind::Argument, "op", argument).expecting("more").but_found(1);
            within_file(error, &["a.wav", "b.wav"]).to_string()
        };
        assert_eq!(of("sound 1"), "b.wav: sound: expected more, found 1");
        assert_eq!(of("target 0"), "a.wav: text: expected more, found 1");
        for other in ["sound 2", "sound", "sounds", "logits 1"] {
            assert_eq!(of(other), format!("op: {other}: expected more, found 1"));
        }
    }
}
