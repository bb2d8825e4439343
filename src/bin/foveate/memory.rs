//! Whether there is the memory that a command will take, asked before it starts.

use std::collections::BTreeSet;
use std::path::Path;

use foveate::runtime::Device;
use foveate::weights::{Declarations, Fields};
use foveate::{AdapterKind, DType, Error, ErrorKind, Result};
use sysinfo::System;

/// Refuses what takes more than the memory that `device` uses has left. `what` is what is to be kept there. Graphics cards do not tell how
/// much they have: of theirs only what a single buffer may take is known, which planning compares.
pub(crate) fn check(command: &'static str, device: &Device, what: &str, needed: u64) -> Result<()> {
    let is_shared = device
        .context()
        .is_none_or(|context| matches!(context.caps().adapter, AdapterKind::Cpu | AdapterKind::Integrated));
    let left = if is_shared { left() } else { None };
    left.map_or(Ok(()), |left| compare(command, what, needed, left))
}

/// [`check`] for a model's weights in `dtype`. The CPU references keep them in their own arithmetic.
pub(crate) fn check_weights(
    command: &'static str,
    device: &Device,
    weights: &Declarations,
    dtype: DType,
) -> Result<()> {
    let size = match device {
        Device::Gpu(_) => dtype.size(),
        Device::Cpu => size_of::<f32>(),
        _ => size_of::<f64>(),
    };
    let elements = weights.list().iter().map(|weight| weight.shape.elements() as u64);
    let all = elements.fold(0_u64, u64::saturating_add);
    check(command, device, "the weights", all.saturating_mul(size as u64))
}

/// Refuses weights, in a model's folder or a file, that take more than the machine has left once they are read: before they are. What is
/// missing or damaged is for the reader to tell.
pub(crate) fn check_files(command: &'static str, path: &Path) -> Result<()> {
    let index = path.join("model.safetensors.index.json");
    let shards = Fields::open(index).and_then(|fields| fields.object("weight_map"));
    let files = match shards {
        Ok(shards) => {
            let names: BTreeSet<&str> = shards.names().filter_map(|name| shards.text(name).ok()).collect();
            names.into_iter().map(|name| path.join(name)).collect()
        }
        Err(_) if path.is_dir() => vec![path.join("model.safetensors")],
        Err(_) => vec![path.to_owned()],
    };
    let sizes = files.iter().filter_map(|file| file.metadata().ok()).map(|file| file.len());
    check(command, &Device::Cpu, "the files of the weights", sizes.fold(0, u64::saturating_add))
}

fn compare(command: &'static str, what: &str, needed: u64, left: u64) -> Result<()> {
    if needed <= left {
        return Ok(());
    }
    // Nothing has been asked of the device yet: the machine is too small, as with any other limit.
    Err(Error::new(ErrorKind::Limit, command, format!("memory for {what}"))
        .expecting(format!("at most {}, which this machine has left", shown(left)))
        .but_found(shown(needed)))
}

/// Bytes that the machine, and the group of processes that the system bounds, have left, swap included; none where the system does not tell.
fn left() -> Option<u64> {
    let mut system = System::new();
    system.refresh_memory();
    let machine = system.available_memory().saturating_add(system.free_swap());
    let group = system.cgroup_limits().map_or(u64::MAX, |group| {
        // Of what counts as a group's, only what its processes hold stays taken: cached files give way.
        group.total_memory.saturating_sub(group.rss).saturating_add(group.free_swap)
    });
    Some(machine.min(group)).filter(|&left| left > 0)
}

fn shown(bytes: u64) -> String {
    let mib = bytes as f64 / f64::from(1 << 20);
    if mib < 1024.0 { format!("{mib:.1} MiB") } else { format!("{:.1} GiB", mib / 1024.0) }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn both_numbers_are_said() {
        assert!(compare("run", "the weights", 5 << 30, 5 << 30).is_ok());
        let error = compare("run", "the weights", (5 << 30) + 1, 3 << 20).unwrap_err();
        assert_eq!((error.kind(), crate::exit_code(&error)), (ErrorKind::Limit, 2));
        assert_eq!(
            error.to_string(),
            "run: memory for the weights: expected at most 3.0 MiB, which this machine has left, found 5.0 GiB"
        );
    }

    #[test]
    fn this_machine_has_some_left() {
        let left = left().expect("the system tells");
        assert!(left > 16 << 20 && left < 1 << 50, "{left}");
        assert!(check("run", &Device::Cpu, "nothing", 0).is_ok());
        let error = check("run", &Device::Cpu, "everything", u64::MAX).unwrap_err();
        assert!(error.found().ends_with("GiB"), "{error}");
    }

    /// A file that claims more than any machine has, and takes no room on the disk.
    #[test]
    fn files_are_compared_before_they_are_read() {
        let folder = std::env::temp_dir().join(format!("foveate-memory-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        assert!(check_files("run", &folder).is_ok(), "what is missing is for the reader");
        let claim = |name: &str| File::create(folder.join(name)).unwrap().set_len(1 << 42).unwrap();
        let refused = || check_files("run", &folder).unwrap_err().to_string();
        claim("model.safetensors");
        assert!(refused().starts_with("run: memory for the files of the weights: "), "{}", refused());
        let index = folder.join("model.safetensors.index.json");
        std::fs::write(&index, r#"{"weight_map": {"a": "1.safetensors", "b": "1.safetensors"}}"#).unwrap();
        assert!(check_files("run", &folder).is_ok());
        claim("1.safetensors");
        assert!(refused().ends_with("found 4096.0 GiB"), "{}", refused());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
