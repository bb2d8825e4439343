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
}

impl Pipeline {
    #[expect(
        unsafe_code,
        reason = "without_runtime_checks, which is unsafe, is the only way to checks that are off"
    )]
    pub(super) fn new(
        device: &wgpu::Device,
        shader: &Shader,
        caps: &Caps,
        checks: wgpu::ShaderRuntimeChecks,
    ) -> Result<Self> {
        let reflected = reflect(shader)?;
        check_limits(shader, &reflected, caps)?;
        let scopes = ErrorScopes::open(device);
        let descriptor = wgpu::ShaderModuleDescriptor {
            label: Some(shader.label),
            source: wgpu::ShaderSource::Naga(Cow::Owned(reflected.module.clone())),
        };
        // SAFETY: with all checks on, this is the safe call; they are off only where the context's maker vouched for it.
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
            cache: None,
        });
        scopes.close("pipeline", shader.label)?;
        Ok(Self { pipeline, layout, reflected })
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
