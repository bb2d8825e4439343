//! What a shader says of itself: its bindings, its parameter struct, its workgroup. Needs no adapter.

use wgpu::naga;

use crate::kernel::{Field, Params, Rendered, Shader};
use crate::{Error, ErrorKind, Result};

/// A resource variable of a shader.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReflectedBinding {
    /// The WGSL variable.
    pub name: String,
    /// Its `@binding`.
    pub index: u32,
    /// Whether the shader writes it.
    pub writable: bool,
}

/// A shader's interface, as its text declares it.
#[derive(Clone, Debug)]
pub struct Reflected {
    /// The parsed module.
    pub module: naga::Module,
    /// What validation found out about it; writers to other languages ask for it.
    #[cfg_attr(not(feature = "unstable"), expect(dead_code, reason = "nobody else asks"))]
    pub info: naga::valid::ModuleInfo,
    /// Storage variables, in order of `@binding`.
    pub storage: Vec<ReflectedBinding>,
    /// The `@binding` of the `params` uniform.
    pub params_index: u32,
    /// Members of the `params` struct: name, offset and size in bytes.
    pub params: Vec<(String, u32, u32)>,
    /// `@workgroup_size`.
    pub workgroup_size: [u32; 3],
    /// Workgroup memory in bytes.
    pub workgroup_bytes: u32,
}

/// Parses and validates `shader`. An error names the file and line under `shaders/`.
pub fn reflect(shader: &Shader) -> Result<Reflected> {
    let rendered = shader.render()?;
    let module = naga::front::wgsl::parse_str(&rendered.wgsl).map_err(|error| {
        let place = error.location(&rendered.wgsl).map(|location| location.offset as usize);
        shader_error(shader, &rendered, place, &error)
    })?;
    // `unpack2x16float` is core WGSL; naga counts it as a capability.
    let mut capabilities = naga::valid::Capabilities::SHADER_FLOAT16_IN_FLOAT32;
    capabilities.set(naga::valid::Capabilities::SHADER_FLOAT16, shader.uses_f16());
    capabilities.set(naga::valid::Capabilities::SHADER_INT64, shader.wide_loads);
    let subgroups = naga::valid::Capabilities::SUBGROUP | naga::valid::Capabilities::SUBGROUP_BARRIER;
    capabilities.set(subgroups, shader.subgroup_size.is_some() || shader.cooperative.is_some());
    capabilities.set(naga::valid::Capabilities::COOPERATIVE_MATRIX, shader.cooperative.is_some());
    let mut validator = naga::valid::Validator::new(naga::valid::ValidationFlags::all(), capabilities);
    validator.subgroup_operations(naga::valid::SubgroupOperationSet::all());
    validator.subgroup_stages(naga::valid::ShaderStages::COMPUTE);
    let info = validator.validate(&module).map_err(|error| {
        // Of a faulty function and the fault in it, the fault.
        let narrowest =
            error.spans().min_by_key(|(span, _)| span.to_range().map_or(usize::MAX, |range| range.len()));
        let place = narrowest.and_then(|(span, _)| Some(span.to_range()?.start));
        shader_error(shader, &rendered, place, &error.into_inner())
    })?;
    describe(shader, module, info)
}

fn shader_error(
    shader: &Shader,
    rendered: &Rendered,
    at: Option<usize>,
    error: &dyn std::error::Error,
) -> Error {
    let place = at.map_or(String::new(), |at| format!("{}: ", rendered.locate(at)));
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    Error::new(ErrorKind::Shader, "shader", shader.label).but_found(place + &text)
}

fn describe(shader: &Shader, module: naga::Module, info: naga::valid::ModuleInfo) -> Result<Reflected> {
    let refused = |argument: &str, expected: &str, found: String| {
        Error::new(ErrorKind::Shader, shader.label, argument).expecting(expected).but_found(found)
    };
    let mut layouter = naga::proc::Layouter::default();
    layouter.update(module.to_ctx()).map_err(|error| refused("layout", "", error.to_string()))?;
    let mut storage = Vec::new();
    let mut params = None;
    let mut workgroup_bytes = 0;
    for (_, variable) in module.global_variables.iter() {
        let name = variable.name.clone().unwrap_or_default();
        match (variable.space, variable.binding) {
            (naga::AddressSpace::WorkGroup, _) => {
                workgroup_bytes += layouter[variable.ty].size.next_multiple_of(16);
            }
            (naga::AddressSpace::Storage { access }, Some(binding)) => storage.push(ReflectedBinding {
                name,
                index: binding.binding,
                writable: access.contains(naga::StorageAccess::STORE),
            }),
            (naga::AddressSpace::Uniform, Some(binding)) => {
                let naga::TypeInner::Struct { members, .. } = &module.types[variable.ty].inner else {
                    return Err(refused(&name, "a struct", "another type".into()));
                };
                let members = members.iter().map(|member| {
                    (member.name.clone().unwrap_or_default(), member.offset, layouter[member.ty].size)
                });
                params = Some((binding.binding, members.collect()));
            }
            _ => {}
        }
    }
    storage.sort_by_key(|binding| binding.index);
    let (params_index, params) =
        params.ok_or_else(|| refused("params", "a uniform struct", "none".into()))?;
    let [entry] = &module.entry_points[..] else {
        return Err(refused("entry point", "one", module.entry_points.len().to_string()));
    };
    let workgroup_size = entry.workgroup_size;
    Ok(Reflected { storage, params_index, params, workgroup_size, workgroup_bytes, module, info })
}

impl Reflected {
    /// Compares the shader's parameter struct with the host's, member by member.
    pub fn check_params(&self, label: &'static str, host: &Params) -> Result<()> {
        let shown = |name: &str, offset: usize, size: usize| format!("{name} at {offset}, {size} bytes");
        let ours: Vec<String> =
            host.fields.iter().map(|&Field { name, offset, size, .. }| shown(name, offset, size)).collect();
        let theirs: Vec<String> = self
            .params
            .iter()
            .map(|(name, offset, size)| shown(name, *offset as usize, *size as usize))
            .collect();
        if ours == theirs {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Shader, label, "params")
            .expecting(format!("the host's members ({})", ours.join("; ")))
            .but_found(theirs.join("; ")))
    }

    /// The `@binding` of the storage variable `name`.
    pub fn storage_index(&self, label: &'static str, name: &str) -> Result<u32> {
        self.storage.iter().find(|binding| binding.name == name).map(|binding| binding.index).ok_or_else(
            || {
                let names: Vec<&str> = self.storage.iter().map(|binding| binding.name.as_str()).collect();
                Error::new(ErrorKind::Shader, label, "binding").expecting(names.join(", ")).but_found(name)
            },
        )
    }
}
