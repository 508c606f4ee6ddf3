//! From tensors in a file to initializers of the graph: read, converted, quantised and laid out, each straight into its final memory.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use ort::memory::Allocator;
use ort::value::{DynTensor, PrimitiveTensorElementType, Tensor};

use super::LoadError;
use super::int4;
use super::int8::multiply::Layout;
use super::int8::quantise_columns;
use super::quantised::{self, Kept, QuantisedWeights};
use super::safetensors::TensorLocation;

/// How matrices are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WeightForm {
    /// 32-bit floats.
    Float,
    /// 8-bit integers with a scale a column; see [`super::int8`].
    Int8,
    /// 4-bit integers with a scale a block, the last matrix in 8 bits; see [`super::int4`].
    Int4,
}

/// A matrix of a linear layer, possibly made of several tensors side by side.
#[derive(Debug, Clone)]
pub(super) struct Matrix<'a> {
    /// The tensors, one after another along the outputs.
    pub(super) parts: Vec<&'a TensorLocation>,
    /// Whether a tensor's shape is `[outputs, inputs]`, as `torch.nn.Linear` has it, rather than `[inputs, outputs]`.
    pub(super) outputs_first: bool,
    pub(super) inputs: usize,
    /// Of all parts together.
    pub(super) outputs: usize,
}

/// A value of the graph that has a name already and will be read later.
pub(super) struct PendingWeight<'a> {
    name: String,
    source: Source<'a>,
}

enum Source<'a> {
    Vector(Vec<&'a TensorLocation>),
    Table([usize; 2], Vec<f32>),
    Integers(Vec<i64>),
    FloatMatrix(Matrix<'a>),
    /// With corrections its layout is [`Layout`], without `[inputs, outputs]`.
    Int8Matrix {
        matrix: Matrix<'a>,
        scales: String,
        corrections: Option<String>,
    },
    Int4Matrix {
        matrix: Matrix<'a>,
        scales: String,
    },
    ZeroPoint(u8),
    Scalar(f32),
}

impl<'a> PendingWeight<'a> {
    pub(super) fn vector(name: &str, parts: Vec<&'a TensorLocation>) -> Self {
        Self { name: name.to_owned(), source: Source::Vector(parts) }
    }

    pub(super) fn table(name: &str, shape: [usize; 2], values: Vec<f32>) -> Self {
        Self { name: name.to_owned(), source: Source::Table(shape, values) }
    }

    pub(super) fn integers(name: &str, values: Vec<i64>) -> Self {
        Self { name: name.to_owned(), source: Source::Integers(values) }
    }

    pub(super) fn float_matrix(name: &str, matrix: Matrix<'a>) -> Self {
        Self { name: name.to_owned(), source: Source::FloatMatrix(matrix) }
    }

    /// A matrix of 8-bit integers as `MatMulIntegerToFloat` takes it, and the name of its columns' scales.
    pub(super) fn int8_matrix(name: &str, scales: &str, matrix: Matrix<'a>) -> Self {
        Self { name: name.to_owned(), source: Source::Int8Matrix { matrix, scales: scales.to_owned(), corrections: None } }
    }

    /// A matrix of 8-bit integers as our own operator takes it, and the names of its columns' scales and corrections.
    pub(super) fn int8_blocks(name: &str, [scales, corrections]: [&str; 2], matrix: Matrix<'a>) -> Self {
        let (scales, corrections) = (scales.to_owned(), Some(corrections.to_owned()));
        Self { name: name.to_owned(), source: Source::Int8Matrix { matrix, scales, corrections } }
    }

    /// A matrix of 4-bit integers, and the name of its blocks' scales.
    pub(super) fn int4_matrix(name: &str, scales: &str, matrix: Matrix<'a>) -> Self {
        Self { name: name.to_owned(), source: Source::Int4Matrix { matrix, scales: scales.to_owned() } }
    }

    pub(super) fn zero_point(name: &str, value: u8) -> Self {
        Self { name: name.to_owned(), source: Source::ZeroPoint(value) }
    }

    pub(super) fn scalar(name: &str, value: f32) -> Self {
        Self { name: name.to_owned(), source: Source::Scalar(value) }
    }

    /// How much work it is, for an even share.
    fn elements(&self) -> usize {
        match &self.source {
            Source::FloatMatrix(matrix) | Source::Int8Matrix { matrix, .. } | Source::Int4Matrix { matrix, .. } => {
                matrix.inputs * matrix.outputs
            }
            Source::Vector(_) | Source::Table(..) | Source::Integers(_) | Source::ZeroPoint(_) | Source::Scalar(_) => 0,
        }
    }
}

/// A value that is ready to be added to a graph.
pub(super) struct Initializer {
    pub(super) name: String,
    pub(super) value: DynTensor,
    pub(super) bytes: usize,
    /// The tensors of which it was quantised, and whether it is their scales.
    pub(super) quantised_from: Option<(String, bool)>,
}

/// Reads everything, on several threads, the largest first. What was quantised before is taken from there, or kept for the next time.
pub(super) fn prepare(
    mut weights: Vec<PendingWeight<'_>>,
    threads: usize,
    quantised: &QuantisedWeights,
) -> Result<Vec<Initializer>, LoadError> {
    let kept = Kept::open(quantised);
    weights.sort_by_key(|weight| std::cmp::Reverse(weight.elements()));
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::with_capacity(weights.len()));
    let work = || -> Result<(), LoadError> {
        let allocator = Allocator::default();
        while let Some(weight) = weights.get(next.fetch_add(1, Ordering::Relaxed)) {
            let initializers = weight.read(&allocator, &kept)?;
            done.lock().unwrap_or_else(std::sync::PoisonError::into_inner).extend(initializers);
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(work)).collect();
        let stopped = |_| Err(LoadError::Runtime("a thread that reads weights stopped".to_owned()));
        workers.into_iter().try_for_each(|worker| worker.join().unwrap_or_else(stopped))
    })?;
    let initializers = done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    quantised::keep(quantised, &initializers);
    Ok(initializers)
}

impl PendingWeight<'_> {
    fn read(&self, allocator: &Allocator, kept: &Kept) -> Result<Vec<Initializer>, LoadError> {
        let name = &self.name;
        let initializer = match &self.source {
            Source::Vector(parts) => {
                let length = parts.iter().map(|part| part.shape().iter().product::<usize>()).sum();
                filled(name, allocator, &[length], |values| read_parts(parts, values))
            }
            Source::Table(shape, table) => copied(name, allocator, shape, table),
            Source::Integers(integers) => copied(name, allocator, &[integers.len()], integers),
            Source::ZeroPoint(value) => copied(name, allocator, &[], &[*value]),
            Source::Scalar(value) => copied(name, allocator, &[], &[*value]),
            Source::FloatMatrix(matrix) => {
                let shape = if matrix.outputs_first { [matrix.outputs, matrix.inputs] } else { [matrix.inputs, matrix.outputs] };
                filled(name, allocator, &shape, |values| read_parts(&matrix.parts, values))
            }
            Source::Int8Matrix { matrix, scales, corrections: None } => {
                return read_int8([name, scales], matrix, allocator, kept);
            }
            Source::Int8Matrix { matrix, scales, corrections: Some(corrections) } => {
                return read_int8_blocks([name, scales, corrections], matrix, allocator, kept);
            }
            Source::Int4Matrix { matrix, scales } => return read_int4([name, scales], matrix, allocator, kept),
        };
        Ok(vec![initializer?])
    }
}

/// A matrix and its scales, by the names of both.
fn read_int8(names: [&str; 2], matrix: &Matrix<'_>, allocator: &Allocator, kept: &Kept) -> Result<Vec<Initializer>, LoadError> {
    let mut scales = vec![0.0; matrix.outputs];
    let source = matrix.source();
    let quantised = filled(names[0], allocator, &[matrix.inputs, matrix.outputs], |values| {
        if kept.read_signed(&source, values, &mut scales) { Ok(()) } else { quantise_columns(matrix, None, values, &mut scales) }
    })?;
    let scales = copied(names[1], allocator, &[matrix.outputs], &scales)?;
    Ok(vec![quantised.quantised_from(&source, false), scales.quantised_from(&source, true)])
}

/// A matrix in blocks, its scales and its corrections, by the names of all three.
fn read_int8_blocks(
    names: [&str; 3],
    matrix: &Matrix<'_>,
    allocator: &Allocator,
    kept: &Kept,
) -> Result<Vec<Initializer>, LoadError> {
    let layout = Layout { inputs: matrix.inputs, outputs: matrix.outputs };
    let mut scales = vec![0.0; layout.padded_outputs()];
    let mut corrections = Vec::new();
    let source = matrix.source();
    let quantised = filled(names[0], allocator, &layout.shape(), |values| {
        if !kept.read_signed(&source, values, &mut scales) {
            quantise_columns(matrix, Some(layout), values, &mut scales)?;
        }
        corrections = layout.corrections(values);
        Ok(())
    })?;
    let scales = copied(names[1], allocator, &[scales.len()], &scales)?;
    let corrections = copied(names[2], allocator, &[corrections.len()], &corrections)?;
    Ok(vec![quantised.quantised_from(&source, false), scales.quantised_from(&source, true), corrections])
}

fn read_int4(names: [&str; 2], matrix: &Matrix<'_>, allocator: &Allocator, kept: &Kept) -> Result<Vec<Initializer>, LoadError> {
    let blocks = int4::blocks(matrix.inputs);
    let mut scales = vec![0.0; matrix.outputs * blocks];
    let shape = [matrix.outputs, blocks, int4::BLOCK / 2];
    let source = matrix.source();
    let quantised = filled(names[0], allocator, &shape, |values| {
        if kept.read_unsigned(&source, values, &mut scales) { Ok(()) } else { int4::quantise_blocks(matrix, values, &mut scales) }
    })?;
    let scales = copied(names[1], allocator, &[scales.len()], &scales)?;
    Ok(vec![quantised.quantised_from(&source, false), scales.quantised_from(&source, true)])
}

impl Matrix<'_> {
    /// The tensors it is made of, by name.
    fn source(&self) -> String {
        self.parts.iter().map(|part| part.name()).collect::<Vec<_>>().join(" ")
    }
}

impl Initializer {
    fn quantised_from(self, source: &str, is_scales: bool) -> Self {
        Self { quantised_from: Some((source.to_owned(), is_scales)), ..self }
    }
}

fn copied<T: PrimitiveTensorElementType + std::fmt::Debug + Copy>(
    name: &str,
    allocator: &Allocator,
    shape: &[usize],
    source: &[T],
) -> Result<Initializer, LoadError> {
    filled(name, allocator, shape, |values| {
        values.copy_from_slice(source);
        Ok(())
    })
}

/// A new tensor, filled by `fill`.
fn filled<T: PrimitiveTensorElementType + std::fmt::Debug>(
    name: &str,
    allocator: &Allocator,
    shape: &[usize],
    fill: impl FnOnce(&mut [T]) -> Result<(), LoadError>,
) -> Result<Initializer, LoadError> {
    let mut tensor = Tensor::<T>::new(allocator, shape)?;
    let (_, values) = tensor.extract_tensor_mut();
    fill(values)?;
    let bytes = size_of_val(values);
    Ok(Initializer { name: name.to_owned(), value: tensor.upcast(), bytes, quantised_from: None })
}

/// Reads whole tensors, one after another.
fn read_parts(parts: &[&TensorLocation], mut values: &mut [f32]) -> Result<(), LoadError> {
    for part in parts {
        let length = part.shape().iter().product::<usize>();
        let Some((target, rest)) = values.split_at_mut_checked(length) else {
            return Err(LoadError::tensor(part.path(), part.name(), "is longer than its matrix"));
        };
        read_elements(part, 0, target)?;
        values = rest;
    }
    Ok(())
}

/// Reads elements from `first` on. Weights that are not numbers are refused: one of them would make every logit one.
pub(super) fn read_elements(part: &TensorLocation, first: usize, values: &mut [f32]) -> Result<(), LoadError> {
    part.read(first, values).map_err(|error| LoadError::unreadable(part.path(), error))?;
    // The bits of magnitudes, as whole numbers, are in the magnitudes' order, with infinities and what is no number above all others.
    let largest = values.iter().fold(0, |largest, value| largest.max(value.to_bits() & 0x7fff_ffff));
    if largest < f32::INFINITY.to_bits() {
        Ok(())
    } else {
        Err(LoadError::tensor(part.path(), part.name(), "has elements that are not finite numbers"))
    }
}
