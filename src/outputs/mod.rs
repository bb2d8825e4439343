//! How results reach a disk: files that are replaced atomically, and folders that one process at a time writes to.
//!
//! [`replace_file`] writes beside a file and then renames. Whenever the process ends, and also where the disk is full, the file is as it was or
//! complete, and of two processes that write the same file one wins. Names and their removal on failure are tempfile's; what a process that was
//! killed has left behind, the next one removes that writes the same file, as its lock tells that nobody is at work on it.
//!
//! A rename gives a path another file, so hard links to the old one keep the old contents. Links are followed; permissions and, where the system
//! lets the user, the owner stay; access control lists and extended attributes do not. A device or a pipe is never replaced: it is written to.

mod file;
mod folder;

pub use file::{OutputFile, folder_of, replace_file};
pub use folder::LockedFolder;
