//! What a driver has compiled, as bytes that outlive the process. Drivers trust such bytes, so they come in a header of our own, by which
//! those that are damaged, cut short, or another adapter's are refused before the driver sees any.
//!
//! The header, numbers least significant byte first: 8 bytes `FOVEATEP`; u32 the format, 1; u64 FNV-1a of all that follows; u32 the length
//! of the adapter's description, and that in UTF-8; u64 the length of wgpu's data, and those.

use super::{Context, ErrorScopes, shown};
use crate::{Error, ErrorKind, Result};

const MAGIC: &[u8; 8] = b"FOVEATEP";
const FORMAT: u32 = 1;

/// What callers of a refused blob can do.
const ADVICE: &str = "go on without it, and save a new one";

impl Context {
    /// The same device with pipelines of its own and an empty cache of what the driver compiles for them, which
    /// [`Self::pipeline_cache_data`] gives.
    ///
    /// Fails with [`ErrorKind::Unsupported`] where the driver keeps no caches (all but Vulkan's), or an app's device was made without
    /// [`wgpu::Features::PIPELINE_CACHE`].
    pub fn with_pipeline_cache(&self) -> Result<Self> {
        self.caching(None)
    }

    /// [`Self::with_pipeline_cache`], filled with what [`Self::pipeline_cache_data`] gave in some earlier process: pipelines that are in it
    /// need no compiler.
    ///
    /// Fails with [`ErrorKind::Io`] when `blob` is damaged, cut short, of another format, adapter or driver. This context works as before,
    /// then, and so does [`Self::with_pipeline_cache`].
    ///
    /// # Safety
    ///
    /// `blob` must come from [`Self::pipeline_cache_data`], unchanged. The checks find accidental damage, but a forged blob can pass them, and
    /// drivers trust what they read. Keep it where only those can write who may also change the program.
    #[expect(unsafe_code, reason = "hands wgpu's contract for cache data on to the caller")]
    pub unsafe fn with_pipeline_cache_from(&self, blob: &[u8]) -> Result<Self> {
        self.caching(Some(open(blob, &identity(self.info()))?))
    }

    /// What the driver has compiled for this context so far, for [`Self::with_pipeline_cache_from`] in another process; nothing without a
    /// cache, or when the device is lost. The library reads and writes no files: where the bytes go is the caller's affair.
    pub fn pipeline_cache_data(&self) -> Option<Vec<u8>> {
        let data = self.pipeline_cache()?.get_data()?;
        Some(seal(&data, &identity(self.info())))
    }

    #[expect(unsafe_code, reason = "wgpu believes the data of a cache")]
    fn caching(&self, data: Option<&[u8]>) -> Result<Self> {
        let device = self.device();
        if !device.features().contains(wgpu::Features::PIPELINE_CACHE) {
            return Err(Error::new(ErrorKind::Unsupported, "pipeline cache", "device")
                .expecting("one with wgpu's PIPELINE_CACHE, which Vulkan has")
                .but_found(self.describe()));
        }
        let scopes = ErrorScopes::open(device);
        let descriptor = wgpu::PipelineCacheDescriptor { label: Some("foveate"), data, fallback: false };
        // SAFETY: there are no data, or they are what the caller of with_pipeline_cache_from vouches for.
        let cache = unsafe { device.create_pipeline_cache(&descriptor) };
        scopes.close("pipeline cache", "data").map_err(|error| match error.kind() {
            // wgpu looks at its own header within ours.
            ErrorKind::Device => refused().but_found(error.found()),
            _ => error,
        })?;
        Ok(self.with_cache(cache))
    }
}

/// The driver's data in `blob`, which [`Context::pipeline_cache_data`] gave in some process: all that
/// [`Context::with_pipeline_cache_from`] checks before a driver sees any, without a device.
///
/// Fails with [`ErrorKind::Io`] when `blob` is damaged, cut short, of another format, or of another adapter or driver than `info` tells of.
pub fn pipeline_cache_payload<'b>(blob: &'b [u8], info: &wgpu::AdapterInfo) -> Result<&'b [u8]> {
    open(blob, &identity(info))
}

fn refused() -> Error {
    Error::new(ErrorKind::Io, "pipeline cache", "data").with_hint(ADVICE)
}

/// What must be the same for compiled pipelines to be of use.
fn identity(info: &wgpu::AdapterInfo) -> String {
    let wgpu::AdapterInfo { name, vendor, device, backend, driver, driver_info, .. } = info;
    format!("{backend} {vendor:04x}:{device:04x} {name}, {driver} {driver_info}")
}

fn seal(data: &[u8], identity: &str) -> Vec<u8> {
    let mut body = Vec::with_capacity(identity.len() + data.len() + 12);
    body.extend((identity.len() as u32).to_le_bytes());
    body.extend(identity.as_bytes());
    body.extend((data.len() as u64).to_le_bytes());
    body.extend(data);
    [MAGIC, &FORMAT.to_le_bytes()[..], &fnv1a(&body).to_le_bytes(), &body].concat()
}

/// The data in `blob`, if that is whole and of the adapter with this `identity`.
fn open<'b>(blob: &'b [u8], identity: &str) -> Result<&'b [u8]> {
    let cut_short = || refused().expecting("a whole header").but_found(format!("{} bytes", blob.len()));
    let mut rest = blob;
    if take(&mut rest).ok_or_else(cut_short)? != *MAGIC {
        return Err(refused().expecting("a pipeline cache of foveate").but_found("something else"));
    }
    let format = u32::from_le_bytes(take(&mut rest).ok_or_else(cut_short)?);
    if format != FORMAT {
        return Err(refused().expecting(format!("format {FORMAT}")).but_found(format));
    }
    let sum = u64::from_le_bytes(take(&mut rest).ok_or_else(cut_short)?);
    let found = fnv1a(rest);
    if sum != found {
        return Err(refused()
            .expecting(format!("bytes with the checksum {sum:016x}"))
            .but_found(format!("{} with {found:016x}: they are damaged or cut short", rest.len())));
    }
    let length = u32::from_le_bytes(take(&mut rest).ok_or_else(cut_short)?) as usize;
    let (of, mut rest) = rest.split_at_checked(length).ok_or_else(cut_short)?;
    if of != identity.as_bytes() {
        return Err(refused()
            .expecting(format!("a cache of {identity}"))
            .but_found(format!("one of {}", shown(&String::from_utf8_lossy(of)))));
    }
    let length = u64::from_le_bytes(take(&mut rest).ok_or_else(cut_short)?);
    if rest.len() as u64 != length {
        return Err(refused().expecting(format!("{length} bytes of data")).but_found(rest.len()));
    }
    Ok(rest)
}

/// The next bytes of `rest`, if there are as many.
fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, left) = rest.split_first_chunk()?;
    *rest = left;
    Some(*taken)
}

/// The 64-bit FNV-1a hash (Fowler, Noll and Vo; draft-eastlake-fnv).
fn fnv1a(bytes: &[u8]) -> u64 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    bytes.iter().fold(OFFSET, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "vulkan 10005:0000 llvmpipe, Mesa 22.3.6";

    #[test]
    fn what_was_sealed_opens_to_the_same_bytes() {
        for data in [&[][..], &[1, 2, 3]] {
            assert_eq!(open(&seal(data, OWN), OWN), Ok(data));
        }
        // The published value of the empty text and of "a".
        assert_eq!([fnv1a(b""), fnv1a(b"a")], [0xcbf2_9ce4_8422_2325, 0xaf63_dc4c_8601_ec8c]);
    }

    #[test]
    fn a_blob_with_any_byte_changed_or_missing_or_added_is_refused() {
        let whole = seal(&[7; 40], OWN);
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x10;
            for blob in [&damaged[..], &whole[..at]] {
                let error = open(blob, OWN).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Io, "{error}");
                assert!(error.hint().is_some(), "{error}");
            }
        }
        assert!(open(&[&whole[..], &[0]].concat(), OWN).is_err());
    }

    #[test]
    fn a_cache_of_another_driver_names_both() {
        let error = open(&seal(&[7; 40], "vulkan 10005:0000 llvmpipe, Mesa 26.2.6"), OWN).unwrap_err();
        assert!(error.expected().contains("22.3.6") && error.found().contains("26.2.6"), "{error}");
    }

    #[test]
    fn lengths_that_a_forger_sums_up_right_are_refused() {
        for body in [u32::MAX.to_le_bytes().to_vec(), vec![0; 3]] {
            let blob = [MAGIC, &FORMAT.to_le_bytes()[..], &fnv1a(&body).to_le_bytes(), &body].concat();
            assert_eq!(open(&blob, OWN).unwrap_err().kind(), ErrorKind::Io);
        }
    }
}
