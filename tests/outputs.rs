//! Files that are written in one move, and folders that are locked.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use foveate::outputs::{LockedFolder, OutputFile, replace_file};

/// A new folder of this name.
fn empty(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("outputs").join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn count(folder: &Path) -> usize {
    fs::read_dir(folder).unwrap().count()
}

#[test]
fn a_file_is_replaced_and_nothing_else_comes_to_be() {
    let folder = empty("replaced");
    let path = folder.join("a");
    let output = OutputFile::open(&path).unwrap();
    assert_eq!(count(&folder), 0, "looking changes nothing");
    for text in ["first", "", "the third and longest"] {
        output.write(text).unwrap();
        assert_eq!((fs::read_to_string(&path).unwrap().as_str(), count(&folder)), (text, 1));
    }
    let long = folder.join("l".repeat(250));
    replace_file(&long, "long").unwrap();
    assert_eq!((fs::read_to_string(&long).unwrap().as_str(), count(&folder)), ("long", 2));
}

#[test]
fn what_is_no_place_for_a_file_is_refused_with_the_reason() {
    let folder = empty("refused");
    fs::write(folder.join("file"), "").unwrap();
    let refused = |path: PathBuf| OutputFile::open(path).unwrap_err().to_string();
    assert_eq!(refused(folder.clone()), "a folder");
    assert_eq!(refused(folder.join("..")), "a folder");
    assert_eq!(refused(folder.join("none/a")), "no such folder");
    assert_eq!(refused(folder.join("none/")), "no name of a file");
    OutputFile::open(folder.join("file/a")).unwrap_err();
    assert_eq!(count(&folder), 1);
}

#[test]
fn names_of_one_file_are_told_apart_from_those_of_two() {
    let folder = empty("names");
    fs::write(folder.join("there"), "").unwrap();
    fs::create_dir(folder.join("below")).unwrap();
    let open = |name: &str| OutputFile::open(folder.join(name)).unwrap();
    for name in ["there", "absent"] {
        assert!(open(name).is_same(&open(&format!("below/../{name}"))), "{name}");
        assert!(open(name).is_same(&open(&format!("./{name}"))), "{name}");
        assert!(open(name).is_at(&folder.join("below/..").join(name)));
        assert!(!open(name).is_same(&open("below/there")));
    }
    // A link of its own to the same file is a name of it, too.
    fs::hard_link(folder.join("there"), folder.join("again")).unwrap();
    assert!(open("there").is_at(&folder.join("again")) && !open("absent").is_at(&folder.join("again")));
    assert!(!open("there").is_same(&open("absent")));
}

#[test]
fn what_the_killed_have_left_goes_and_what_others_are_at_work_on_stays() {
    let folder = empty("left");
    let path = folder.join("a");
    let [dead, busy, foreign] = [".a.AbCdEf.unfinished", ".a.123456.unfinished", ".ab.123456.unfinished"]
        .map(|name| folder.join(name));
    for path in [&dead, &busy, &foreign] {
        fs::write(path, "half").unwrap();
    }
    let lock = File::open(&busy).unwrap();
    lock.try_lock().unwrap();
    replace_file(&path, "whole").unwrap();
    assert!(!dead.exists() && busy.exists() && foreign.exists());
    drop(lock);
    replace_file(&path, "whole").unwrap();
    assert!(!busy.exists() && foreign.exists());
}

#[test]
fn writers_of_one_file_leave_one_of_their_texts() {
    let folder = empty("race");
    let path = folder.join("a");
    let texts: Vec<String> = (0..4).map(|writer| format!("{writer}").repeat(100_000)).collect();
    std::thread::scope(|scope| {
        for text in &texts {
            let path = &path;
            scope.spawn(move || (0..20).for_each(|_| replace_file(path, text).unwrap()));
        }
    });
    let found = fs::read_to_string(&path).unwrap();
    assert!(texts.contains(&found) && count(&folder) == 1);
}

#[test]
fn a_folder_is_one_processs_until_it_is_let_go() {
    let folder = empty("locked").join("new/folder");
    let lock = LockedFolder::open(&folder).unwrap();
    assert_eq!(LockedFolder::open(&folder).unwrap_err().kind(), ErrorKind::WouldBlock);
    drop(lock);
    let mut lock = LockedFolder::open(&folder).unwrap();
    fs::create_dir(folder.join("below")).unwrap();
    fs::write(folder.join("below/file"), "").unwrap();
    lock.clear().unwrap();
    assert_eq!(count(&folder), 0);
    fs::write(folder.join("file"), "").unwrap();

    let moved = folder.with_file_name("moved");
    fs::create_dir(&moved).unwrap();
    lock.rename(&moved).unwrap();
    assert!(moved.join("file").exists() && !folder.exists());
    // Another folder of the old name is another folder.
    LockedFolder::open(&folder).unwrap();
    assert_eq!(LockedFolder::open(lock.path()).is_err(), cfg!(unix));
}

#[cfg(unix)]
mod unix {
    use std::io::Read;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
    use std::process::Command;

    use super::*;

    #[test]
    fn links_stay_and_what_they_lead_to_is_replaced() {
        let folder = empty("links");
        fs::create_dir(folder.join("below")).unwrap();
        let (file, link, again) = (folder.join("below/file"), folder.join("link"), folder.join("again"));
        symlink("below/file", &link).unwrap();
        symlink("link", &again).unwrap();
        for text in ["of a link to nothing", "of a link to a file"] {
            replace_file(&again, text).unwrap();
            assert_eq!(fs::read_to_string(&file).unwrap(), text);
            assert!(link.is_symlink() && again.is_symlink());
        }
        let open = |path: &Path| OutputFile::open(path).unwrap();
        assert!(open(&again).is_same(&open(&file)) && open(&link).is_at(&again));
        symlink("circle", folder.join("circle")).unwrap();
        replace_file(folder.join("circle"), "x").unwrap_err();
        assert_eq!((count(&folder), count(&folder.join("below"))), (4, 1));
    }

    #[test]
    fn permissions_stay_and_new_files_have_those_of_any_new_file() {
        let folder = empty("permissions");
        let (path, usual) = (folder.join("a"), folder.join("usual"));
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o7777;
        fs::write(&usual, "").unwrap();
        replace_file(&path, "x").unwrap();
        assert_eq!(mode(&path), mode(&usual));
        for wanted in [0o600, 0o640, 0o777] {
            fs::set_permissions(&path, fs::Permissions::from_mode(wanted)).unwrap();
            let before = path.metadata().unwrap();
            replace_file(&path, "y").unwrap();
            let after = path.metadata().unwrap();
            assert_eq!((mode(&path), after.uid(), after.gid()), (wanted, before.uid(), before.gid()));
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
        // Root may write anything.
        if File::options().write(true).open(&path).is_err() {
            assert_eq!(replace_file(&path, "z").unwrap_err().kind(), ErrorKind::PermissionDenied);
            assert_eq!(fs::read_to_string(&path).unwrap(), "y");
        }
    }

    #[test]
    fn pipes_and_devices_are_written_to_and_not_replaced() {
        let folder = empty("streams");
        let pipe = folder.join("pipe");
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let reading = std::thread::spawn({
            let pipe = pipe.clone();
            move || {
                let mut text = String::new();
                File::open(pipe).unwrap().read_to_string(&mut text).unwrap();
                text
            }
        });
        replace_file(&pipe, "through").unwrap();
        assert_eq!(reading.join().unwrap(), "through");
        // Nobody reads it any more: opening it would wait for ever.
        assert!(!OutputFile::open(folder.join("file")).unwrap().is_at(&pipe));
        assert!(!pipe.metadata().unwrap().is_file());
        let null = folder.join("null");
        symlink("/dev/null", &null).unwrap();
        replace_file(&null, "nothing").unwrap();
        assert!(null.is_symlink() && !Path::new("/dev/null").metadata().unwrap().is_file());
        let full = Path::new("/dev/full");
        if full.exists() {
            assert_eq!(replace_file(full, "x").unwrap_err().kind(), ErrorKind::StorageFull);
        }
        assert_eq!(count(&folder), 2);
    }
}
