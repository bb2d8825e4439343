//! Tensors in host memory, as they go to and come from a device.

use half::f16;

use super::{Array, DType, Real, Shape, TensorDesc};
use crate::{Error, ErrorKind, Result};

/// The elements of a [`HostTensor`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum HostData {
    /// 32-bit floats.
    F32(Vec<f32>),
    /// 16-bit floats.
    F16(Vec<f16>),
    /// 32-bit signed integers.
    I32(Vec<i32>),
    /// 32-bit unsigned integers.
    U32(Vec<u32>),
}

/// A row-major tensor in host memory whose element count equals its shape's.
#[derive(Clone, Debug, PartialEq)]
pub struct HostTensor {
    shape: Shape,
    data: HostData,
}

impl HostTensor {
    /// A tensor of f32 elements. Fails when `data` does not hold exactly the shape's elements.
    pub fn f32(shape: impl Into<Shape>, data: Vec<f32>) -> Result<Self> {
        Self::new(shape.into(), HostData::F32(data))
    }

    /// A tensor of f16 elements. Fails when `data` does not hold exactly the shape's elements.
    pub fn f16(shape: impl Into<Shape>, data: Vec<f16>) -> Result<Self> {
        Self::new(shape.into(), HostData::F16(data))
    }

    /// A tensor of i32 elements. Fails when `data` does not hold exactly the shape's elements.
    pub fn i32(shape: impl Into<Shape>, data: Vec<i32>) -> Result<Self> {
        Self::new(shape.into(), HostData::I32(data))
    }

    /// A tensor of u32 elements. Fails when `data` does not hold exactly the shape's elements.
    pub fn u32(shape: impl Into<Shape>, data: Vec<u32>) -> Result<Self> {
        Self::new(shape.into(), HostData::U32(data))
    }

    fn new(shape: Shape, data: HostData) -> Result<Self> {
        let found = match &data {
            HostData::F32(data) => data.len(),
            HostData::F16(data) => data.len(),
            HostData::I32(data) => data.len(),
            HostData::U32(data) => data.len(),
        };
        if found != shape.elements() {
            return Err(Error::new(ErrorKind::Shape, "host tensor", "data")
                .expecting(format!("{} elements for shape {shape}", shape.elements()))
                .but_found(found));
        }
        Ok(Self { shape, data })
    }

    /// Rounds `values` to `dtype` (to nearest even for f16). Fails when the counts differ.
    pub fn from_f32(dtype: DType, shape: impl Into<Shape>, values: &[f32]) -> Result<Self> {
        let data = match dtype {
            DType::F32 => HostData::F32(values.to_vec()),
            DType::F16 => HostData::F16(values.iter().map(|&x| f16::from_f32(x)).collect()),
            DType::I32 => HostData::I32(values.iter().map(|&x| x as i32).collect()),
            DType::U32 => HostData::U32(values.iter().map(|&x| x as u32).collect()),
        };
        Self::new(shape.into(), data)
    }

    /// A tensor of zeros. Fails with [`ErrorKind::OutOfMemory`] when the machine has no room for it.
    pub fn zeros(desc: &TensorDesc) -> Result<Self> {
        fn zeroed<T: Clone + Default>(desc: &TensorDesc) -> Result<Vec<T>> {
            let mut data = Vec::new();
            data.try_reserve_exact(desc.elements()).map_err(|error| {
                Error::new(ErrorKind::OutOfMemory, "tensor", "zeros").expecting(desc).caused_by(error)
            })?;
            data.resize(desc.elements(), T::default());
            Ok(data)
        }
        let data = match desc.dtype {
            DType::F32 => HostData::F32(zeroed(desc)?),
            DType::F16 => HostData::F16(zeroed(desc)?),
            DType::I32 => HostData::I32(zeroed(desc)?),
            DType::U32 => HostData::U32(zeroed(desc)?),
        };
        Self::new(desc.shape.clone(), data)
    }

    /// Reads the little-endian bytes of a tensor; bytes behind the last element are ignored.
    /// Fails when there are too few.
    pub fn from_bytes(desc: &TensorDesc, bytes: &[u8]) -> Result<Self> {
        let wanted = usize::try_from(desc.bytes()).unwrap_or(usize::MAX);
        let Some(bytes) = bytes.get(..wanted) else {
            return Err(Error::new(ErrorKind::Shape, "host tensor", "bytes")
                .expecting(format!("{wanted} bytes for {desc}"))
                .but_found(bytes.len()));
        };
        let data = match desc.dtype {
            DType::F32 => HostData::F32(bytemuck::pod_collect_to_vec(bytes)),
            DType::F16 => HostData::F16(bytemuck::pod_collect_to_vec(bytes)),
            DType::I32 => HostData::I32(bytemuck::pod_collect_to_vec(bytes)),
            DType::U32 => HostData::U32(bytemuck::pod_collect_to_vec(bytes)),
        };
        Self::new(desc.shape.clone(), data)
    }

    /// Shape and element type.
    pub fn desc(&self) -> TensorDesc {
        TensorDesc::new(self.dtype(), self.shape.clone())
    }

    /// The shape.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        match self.data {
            HostData::F32(_) => DType::F32,
            HostData::F16(_) => DType::F16,
            HostData::I32(_) => DType::I32,
            HostData::U32(_) => DType::U32,
        }
    }

    /// The elements.
    pub fn data(&self) -> &HostData {
        &self.data
    }

    /// The elements as bytes, as a device stores them.
    pub fn bytes(&self) -> &[u8] {
        match &self.data {
            HostData::F32(data) => bytemuck::cast_slice(data),
            HostData::F16(data) => bytemuck::cast_slice(data),
            HostData::I32(data) => bytemuck::cast_slice(data),
            HostData::U32(data) => bytemuck::cast_slice(data),
        }
    }

    /// The elements widened to f64.
    pub fn to_f64(&self) -> Vec<f64> {
        match &self.data {
            HostData::F32(data) => data.iter().map(|&x| f64::from(x)).collect(),
            HostData::F16(data) => data.iter().map(|&x| f64::from(x)).collect(),
            HostData::I32(data) => data.iter().map(|&x| f64::from(x)).collect(),
            HostData::U32(data) => data.iter().map(|&x| f64::from(x)).collect(),
        }
    }

    /// The elements as f32, rounded where needed.
    pub fn to_f32(&self) -> Vec<f32> {
        match &self.data {
            HostData::F32(data) => data.clone(),
            HostData::F16(data) => data.iter().map(|x| x.to_f32()).collect(),
            HostData::I32(data) => data.iter().map(|&x| x as f32).collect(),
            HostData::U32(data) => data.iter().map(|&x| x as f32).collect(),
        }
    }

    /// The elements in the CPU reference's arithmetic.
    pub(crate) fn to_array<R: Real>(&self) -> Array<R> {
        match &self.data {
            HostData::F32(data) => {
                Array::real(self.shape.clone(), data.iter().map(|&x| R::of(x.into())).collect())
            }
            HostData::F16(data) => {
                Array::real(self.shape.clone(), data.iter().map(|&x| R::of(x.into())).collect())
            }
            HostData::I32(data) => Array::index(self.shape.clone(), data.iter().map(|&x| x.into()).collect()),
            HostData::U32(data) => Array::index(self.shape.clone(), data.iter().map(|&x| x.into()).collect()),
        }
    }

    /// The CPU reference's result, rounded once to the value's own type.
    pub(crate) fn from_array<R: Real>(dtype: DType, array: &Array<R>) -> Self {
        let data = match dtype {
            DType::F32 => HostData::F32(array.reals().iter().map(|x| x.get() as f32).collect()),
            // By f32: half (2.7) drops bits of an f64 before it rounds, where the processor has no conversion of its own.
            DType::F16 => {
                HostData::F16(array.reals().iter().map(|x| f16::from_f32(x.get() as f32)).collect())
            }
            DType::I32 => HostData::I32(array.indices().iter().map(|&x| x as i32).collect()),
            DType::U32 => HostData::U32(array.indices().iter().map(|&x| x as u32).collect()),
        };
        Self { shape: array.shape().clone(), data }
    }
}
