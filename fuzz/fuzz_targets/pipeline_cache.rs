//! Saved pipeline caches: whatever the bytes, what follows the header or a typed error.
//!
//! The first byte says whether the rest is a file, or what follows a right checksum in one.
#![no_main]

use foveate::ErrorKind;
use foveate::gpu::pipeline_cache_payload;
use foveate::wgpu::{AdapterInfo, Backend, DeviceType};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((&form, rest)) = data.split_first() else { return };
    let info = AdapterInfo { name: "adapter".into(), ..AdapterInfo::new(DeviceType::Cpu, Backend::Vulkan) };
    let file = match form % 2 {
        0 => rest.to_vec(),
        _ => [b"FOVEATEP", &1u32.to_le_bytes()[..], &fnv1a(rest).to_le_bytes(), rest].concat(),
    };
    match pipeline_cache_payload(&file, &info) {
        Ok(payload) => assert!(file.ends_with(payload), "the payload is the end of the file"),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Io, "{error:?}");
            assert!(error.to_string().len() < 10_000, "an error as long as the file");
        }
    }
});

/// 64-bit FNV-1a, as the header has it.
fn fnv1a(bytes: &[u8]) -> u64 {
    let step = |hash: u64, &byte: &u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
}
