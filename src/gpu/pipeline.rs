//! A compiled shader with its explicit bind-group layout.

use std::borrow::Cow;

use super::ErrorScopes;
use super::reflect::{Reflected, reflect};
use crate::kernel::{Caps, Shader};
use crate::{Error, ErrorKind, Result};

#[derive(Debug)]
pub(super) struct Pipeline {
    pub(super) pipeline: wgpu::ComputePipeline,
    pub(super) layout: wgpu::BindGroupLayout,
    pub(super) reflected: Reflected,
    /// Whether wgpu's checks are in the shader.
    pub(super) is_checked: bool,
}

impl Pipeline {
    #[expect(
        unsafe_code,
        reason = "the ways to checks that are off are without_runtime_checks, which is unsafe, and kernels that need none"
    )]
    pub(super) fn new(
        device: &wgpu::Device,
        shader: &Shader,
        caps: &Caps,
        checks: wgpu::ShaderRuntimeChecks,
        cache: Option<&wgpu::PipelineCache>,
    ) -> Result<Self> {
        let reflected = reflect(shader)?;
        check_limits(shader, &reflected, caps)?;
        let scopes = ErrorScopes::open(device);
        let descriptor = wgpu::ShaderModuleDescriptor {
            label: Some(shader.label),
            source: wgpu::ShaderSource::Naga(Cow::Owned(reflected.module.clone())),
        };
        // SAFETY: with all checks on, this is the safe call. They are off where the context's maker vouched for all shaders, or for kernels
        // of this crate's own, which stay within their bindings and come to an end (see Context::trusting_own_kernels).
        let module = unsafe { device.create_shader_module_trusted(descriptor, checks) };
        let entry = |binding, ty| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None },
            count: None,
        };
        let entries: Vec<_> =
            std::iter::once(entry(reflected.params_index, wgpu::BufferBindingType::Uniform))
                .chain(reflected.storage.iter().map(|binding| {
                    entry(binding.index, wgpu::BufferBindingType::Storage { read_only: !binding.writable })
                }))
                .collect();
        let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some(shader.label),
            entries: &entries,
        });
        let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(shader.label),
            bind_group_layouts: &[Some(&layout)],
            immediate_size: 0,
        });
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(shader.label),
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions {
                // Every kernel writes workgroup memory before it reads it; the poisoned conformance runs hold them to it.
                zero_initialize_workgroup_memory: false,
                ..Default::default()
            },
            cache,
        });
        scopes.close("pipeline", shader.label)?;
        Ok(Self { pipeline, layout, reflected, is_checked: checks.bounds_checks })
    }
}

/// Refuses a workgroup larger than `caps` allows.
pub(super) fn check_limits(shader: &Shader, reflected: &Reflected, caps: &Caps) -> Result<()> {
    let invocations: u32 = reflected.workgroup_size.iter().product();
    for (what, found, limit) in [
        ("invocations per workgroup", invocations, caps.max_invocations),
        ("bytes of workgroup memory", reflected.workgroup_bytes, caps.max_workgroup_bytes),
    ] {
        if found > limit {
            return Err(Error::new(ErrorKind::Limit, shader.label, what)
                .expecting(format!("at most {limit}"))
                .but_found(found));
        }
    }
    Ok(())
}
