//! Kernel shapes that were measured on one machine, with the evidence, and the machine they are for.
//!
//! [`Tuning::for_adapter`] knows kinds of adapters; `foveate tune` measures a single one and writes what it found. An app reads that
//! text from wherever it keeps it and asks for [`Context::tuned`](super::Context::tuned): nothing is looked up behind its back. What is
//! fast on one driver may be slow on the next, so a profile is good for the very adapter, driver and version of this crate.

use super::shown;
use crate::kernel::{Caps, Tuning};
use crate::{Error, ErrorKind, Result};

/// What errors call a profile.
const OP: &str = "profile";

/// The version of the format that this crate writes, and the only one that it reads.
#[cfg(feature = "serde")]
const FORMAT: u64 = 1;

/// A tuning that was measured on one adapter.
///
/// As JSON (feature `serde`) it is `{"format": 1, "identity": {..}, "tuning": {..}, "measured": [..]}` with the fields of the types
/// below; unknown ones are refused.
///
/// ```
/// # #[cfg(feature = "serde")] {
/// use foveate::gpu::{Identity, Profile};
/// use foveate::kernel::Tuning;
/// use foveate::{AdapterKind, ErrorKind, wgpu};
///
/// # let info = wgpu::AdapterInfo::new(wgpu::DeviceType::DiscreteGpu, wgpu::Backend::Vulkan);
/// let tuning = Tuning { row_lanes: 128, ..Tuning::for_adapter(AdapterKind::Discrete, None) };
/// let profile = Profile { identity: Identity::of(&info), tuning, measured: Vec::new() };
/// assert_eq!(Profile::from_json(&profile.to_json()?)?, profile);
/// assert_eq!(Profile::from_json("{}").unwrap_err().kind(), ErrorKind::Config);
/// # }
/// # Ok::<(), foveate::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(try_from = "Document", into = "Document")
)]
pub struct Profile {
    /// What it was measured on.
    pub identity: Identity,
    /// The kernel shapes that were fastest.
    pub tuning: Tuning,
    /// What was measured, in the order of the measurements; may be empty.
    pub measured: Vec<Measured>,
}

/// The adapter, driver and version of this crate that a profile is for. All fields must agree.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(deny_unknown_fields))]
pub struct Identity {
    /// Version of this crate: its kernels change from one to the next.
    pub crate_version: String,
    /// Name of the adapter.
    pub adapter: String,
    /// The API it is reached by, in wgpu's word.
    pub backend: String,
    /// Name of the driver.
    pub driver: String,
    /// Version of the driver and whatever else it says about itself.
    pub driver_info: String,
    /// PCI id of the adapter's vendor.
    pub vendor: u32,
    /// PCI id of the adapter.
    pub device: u32,
}

/// One kernel shape on one problem.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(deny_unknown_fields))]
pub struct Measured {
    /// The field of [`Tuning`] that was varied.
    pub setting: String,
    /// What was computed.
    pub problem: String,
    /// The shape.
    pub candidate: String,
    /// Median time of a run, in milliseconds.
    pub ms: f64,
    /// How much it did in that time.
    pub rate: Rate,
    /// Time of the shape that it was measured against over its own, of runs in turn: above 1 is faster.
    pub of_default: f64,
}

/// Work over time.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(deny_unknown_fields, rename_all = "snake_case")
)]
pub enum Rate {
    /// Arithmetic: 10^9 floating-point operations a second.
    GflopPerSecond(f64),
    /// Memory: 10^9 bytes that are read or written, a second.
    GbPerSecond(f64),
}

impl Identity {
    /// The adapter of `info` under this version of the crate.
    pub fn of(info: &wgpu::AdapterInfo) -> Self {
        Self {
            crate_version: env!("CARGO_PKG_VERSION").into(),
            adapter: info.name.clone(),
            backend: info.backend.to_string(),
            driver: info.driver.clone(),
            driver_info: info.driver_info.clone(),
            vendor: info.vendor,
            device: info.device,
        }
    }

    /// Refuses to be used in the place of `own`.
    fn check(&self, own: &Self) -> Result<()> {
        let hex = |id: u32| format!("{id:#06x}");
        for (what, own, found) in [
            ("crate version", own.crate_version.clone(), self.crate_version.clone()),
            ("adapter", own.adapter.clone(), self.adapter.clone()),
            ("backend", own.backend.clone(), self.backend.clone()),
            ("driver", own.driver.clone(), self.driver.clone()),
            ("driver info", own.driver_info.clone(), self.driver_info.clone()),
            ("vendor", hex(own.vendor), hex(self.vendor)),
            ("device", hex(own.device), hex(self.device)),
        ] {
            if own != found {
                return Err(foreign(what, &own, &found));
            }
        }
        Ok(())
    }
}

impl Profile {
    /// Refuses to be used on a device of `info` that can do `caps`.
    pub(super) fn check(&self, info: &wgpu::AdapterInfo, caps: &Caps) -> Result<()> {
        self.identity.check(&Identity::of(info))?;
        self.tuning.check(OP)?;
        caps.check_tuning(OP, &self.tuning)
    }
}

fn foreign(what: &str, own: &str, found: &str) -> Error {
    Error::new(ErrorKind::Foreign, OP, what)
        .expecting(format!("`{own}`"))
        .but_found(format!("`{}`", shown(found)))
}

/// A profile as it stands in JSON, not yet checked.
#[cfg(feature = "serde")]
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    format: u64,
    identity: Identity,
    tuning: Tuning,
    measured: Vec<Measured>,
}

/// What decides whether the rest can be read at all.
#[cfg(feature = "serde")]
#[derive(serde::Deserialize)]
struct Header {
    format: u64,
    identity: Maker,
}

#[cfg(feature = "serde")]
#[derive(serde::Deserialize)]
struct Maker {
    crate_version: String,
}

#[cfg(feature = "serde")]
impl From<Profile> for Document {
    fn from(Profile { identity, tuning, measured }: Profile) -> Self {
        Self { format: FORMAT, identity, tuning, measured }
    }
}

#[cfg(feature = "serde")]
impl TryFrom<Document> for Profile {
    type Error = Error;

    fn try_from(Document { format, identity, tuning, measured }: Document) -> Result<Self> {
        check_format(format)?;
        tuning.check(OP).map_err(|error| {
            Error::new(ErrorKind::Config, OP, format!("tuning.{}", error.argument()))
                .expecting(error.expected())
                .but_found(error.found())
        })?;
        for (at, Measured { ms, rate, of_default, .. }) in measured.iter().enumerate() {
            let (Rate::GflopPerSecond(rate) | Rate::GbPerSecond(rate)) = rate;
            for (field, value) in [("ms", ms), ("rate", rate), ("of_default", of_default)] {
                if !(value.is_finite() && *value >= 0.0) {
                    return Err(Error::new(ErrorKind::Config, OP, format!("measured[{at}].{field}"))
                        .expecting("a finite number of at least 0")
                        .but_found(value));
                }
            }
        }
        Ok(Self { identity, tuning, measured })
    }
}

#[cfg(feature = "serde")]
fn check_format(format: u64) -> Result<()> {
    if format == FORMAT { Ok(()) } else { Err(foreign("format", &FORMAT.to_string(), &format.to_string())) }
}

#[cfg(feature = "serde")]
impl Profile {
    /// The profile in `text`, as [`Profile::to_json`] writes it.
    ///
    /// Fails with [`ErrorKind::Foreign`] when another version of this crate wrote it, of whose fields nothing can be said, and with
    /// [`ErrorKind::Config`] when it is damaged: no JSON, a field that is missing, unknown or of another type (with line and column), or
    /// a number that no kernel can have.
    pub fn from_json(text: &str) -> Result<Self> {
        let Header { format, identity } = parse(text)?;
        check_format(format)?;
        let own = env!("CARGO_PKG_VERSION");
        if identity.crate_version != own {
            return Err(foreign("crate version", own, &identity.crate_version));
        }
        Self::try_from(parse::<Document>(text)?)
    }

    /// The profile as indented JSON with a newline behind it.
    ///
    /// Fails when a number among what was measured is not finite.
    pub fn to_json(&self) -> Result<String> {
        let document = Document::from(Self::try_from(Document::from(self.clone()))?);
        let text = serde_json::to_string_pretty(&document)
            .map_err(|error| Error::new(ErrorKind::Io, OP, "json").caused_by(error))?;
        Ok(text + "\n")
    }
}

#[cfg(feature = "serde")]
fn parse<'t, T: serde::Deserialize<'t>>(text: &'t str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| {
        let place = format!("line {}, column {}", error.line(), error.column());
        Error::new(ErrorKind::Config, OP, place)
            .expecting("a profile of `foveate tune`")
            .but_found(crate::quote::json(&error, text.as_bytes()))
            .caused_by(error)
    })
}
