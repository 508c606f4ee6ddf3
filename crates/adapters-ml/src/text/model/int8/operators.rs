//! The rows' kernels as operators of a graph.

use std::sync::{Mutex, PoisonError};

use ort::operator::{BoxedKernel, ComputeContext, KernelContext, Operator, OperatorDomain, OperatorInput, OperatorOutput};
use ort::value::TensorElementType::{Float32, Uint8};

use super::arguments::{floats, missing, output, rows_and_width, size};
use super::kernels::{Norm, Product, add, gelu_tanh, normalise, quantise, scale, silu_gate};
use super::multiply::QuantizedMatMul;

/// The name of our operators' domain.
pub(in super::super) const DOMAIN: &str = "tertulia";

/// Elements below which waking another thread costs more than it saves.
const SERIAL_ELEMENTS: usize = 16_384;

/// All operators, for a session that runs a graph with them.
pub(in super::super) fn operators() -> ort::Result<OperatorDomain> {
    let rows = OperatorDomain::new(DOMAIN)?.add(QuantizeRows)?.add(ScaleRows)?.add(AddNormQuantizeRows)?;
    rows.add(ActivateQuantizeRows)?.add(QuantizedMatMul)
}

/// `rows [R, K]` → `quantised u8 [R, K]`, `scales [R]`
struct QuantizeRows;

/// `product [R, N]`, `scales [R]`, `bias [N]?` → `rows [R, N]`
struct ScaleRows;

/// `product [R, N]`, `scales [R]?`, `residual [R, N]`, `weight [N]`, `norm_bias [N]?`, `bias [N]?` → `quantised [R, N]`, `scales [R]`, `sum [R, N]`.
/// Without `norm_bias` it is root-mean-square normalisation. Attribute `epsilon`.
struct AddNormQuantizeRows;

/// `product [R, N]`, `scales [R]?`, `bias [N]?` → `quantised`, `scales [R]`. Attribute `gated`: 0 is the tanh approximation of GELU, `[R, N]`;
/// 1 is `SiLU` of the first half of a row times the second, `[R, N / 2]`.
struct ActivateQuantizeRows;

/// How many rows a thread takes at a time.
fn block_rows(rows: usize, width: usize) -> usize {
    if rows * width <= SERIAL_ELEMENTS { rows.max(1) } else { (SERIAL_ELEMENTS / 2 / width.max(1)).max(1) }
}

/// Works on blocks of rows, on several threads where there are several.
fn for_blocks<T: Send>(context: &ComputeContext, mut blocks: Vec<T>, work: impl Fn(&mut T) + Send + Sync) -> ort::Result<()> {
    if blocks.len() <= 1 {
        blocks.iter_mut().for_each(work);
        return Ok(());
    }
    let blocks: Vec<Mutex<T>> = blocks.into_iter().map(Mutex::new).collect();
    context.par_for(blocks.len(), 0, |index| {
        if let Some(block) = blocks.get(index) {
            work(&mut block.lock().unwrap_or_else(PoisonError::into_inner));
        }
    })
}

/// A product's rows.
#[derive(Clone, Copy)]
struct Products<'a> {
    values: &'a [f32],
    /// One a row, or empty where rows are scaled already.
    scales: &'a [f32],
    bias: &'a [f32],
    width: usize,
}

impl<'a> Products<'a> {
    fn rows(&self, first: usize, count: usize) -> impl Iterator<Item = Product<'a>> {
        let (values, bias, width) = (self.values, self.bias, self.width);
        let scales = self.scales.get(first..).unwrap_or_default().iter().copied().chain(std::iter::repeat(1.0));
        let rows = values.chunks_exact(width.max(1)).skip(first).take(count).zip(scales);
        rows.map(move |(values, scale)| Product { values, scale, bias })
    }
}

impl Operator for QuantizeRows {
    type Kernel<'attr> = BoxedKernel<'attr>;

    fn name(&self) -> &'static str {
        "QuantizeRows"
    }

    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        [OperatorInput::required(Float32)]
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        [OperatorOutput::required(Uint8), OperatorOutput::required(Float32)]
    }

    fn create_kernel<'attr>(&self, _: &KernelContext<'attr>) -> ort::Result<Self::Kernel<'attr>> {
        Ok(Box::new(|context: &ComputeContext| {
            let input = context.input(0)?.ok_or_else(missing)?;
            let (shape, values) = input.try_extract_tensor::<f32>()?;
            let (rows, width) = rows_and_width(shape)?;
            output!(context, 0, u8, [size(rows), size(width)], quantised);
            output!(context, 1, f32, [size(rows)], scales);
            let count = block_rows(rows, width);
            let outputs = quantised.chunks_mut((count * width).max(1)).zip(scales.chunks_mut(count));
            let blocks = outputs.zip(values.chunks((count * width).max(1))).collect();
            for_blocks(context, blocks, |((quantised, scales), values)| {
                let rows = values.chunks_exact(width).zip(quantised.chunks_exact_mut(width));
                for ((row, quantised), scale) in rows.zip(scales.iter_mut()) {
                    *scale = quantise(row, quantised);
                }
            })
        }))
    }
}

impl Operator for ScaleRows {
    type Kernel<'attr> = BoxedKernel<'attr>;

    fn name(&self) -> &'static str {
        "ScaleRows"
    }

    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        [OperatorInput::required(Float32), OperatorInput::required(Float32), OperatorInput::optional(Float32)]
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        [OperatorOutput::required(Float32)]
    }

    fn create_kernel<'attr>(&self, _: &KernelContext<'attr>) -> ort::Result<Self::Kernel<'attr>> {
        Ok(Box::new(|context: &ComputeContext| {
            let input = context.input(0)?.ok_or_else(missing)?;
            let (shape, values) = input.try_extract_tensor::<f32>()?;
            let (rows, width) = rows_and_width(shape)?;
            floats!(context, 1, scales);
            floats!(context, 2, bias);
            let products = Products { values, scales, bias, width };
            output!(context, 0, f32, [size(rows), size(width)], scaled);
            let count = block_rows(rows, width);
            let blocks =
                scaled.chunks_mut((count * width).max(1)).enumerate().map(|(index, block)| (index * count, block)).collect();
            for_blocks(context, blocks, |(first, block)| {
                let count = block.len() / width;
                for (product, row) in products.rows(*first, count).zip(block.chunks_exact_mut(width)) {
                    scale(product, row);
                }
            })
        }))
    }
}

impl Operator for AddNormQuantizeRows {
    type Kernel<'attr> = BoxedKernel<'attr>;

    fn name(&self) -> &'static str {
        "AddNormQuantizeRows"
    }

    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        let [required, optional] = [|| OperatorInput::required(Float32), || OperatorInput::optional(Float32)];
        [required(), optional(), required(), required(), optional(), optional()]
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        [OperatorOutput::required(Uint8), OperatorOutput::required(Float32), OperatorOutput::required(Float32)]
    }

    fn create_kernel<'attr>(&self, kernel: &KernelContext<'attr>) -> ort::Result<Self::Kernel<'attr>> {
        let epsilon: f32 = kernel.get("epsilon").ok_or_else(missing)?;
        Ok(Box::new(move |context: &ComputeContext| {
            let input = context.input(0)?.ok_or_else(missing)?;
            let (shape, values) = input.try_extract_tensor::<f32>()?;
            let (rows, width) = rows_and_width(shape)?;
            floats!(context, 1, scales);
            floats!(context, 2, residual);
            floats!(context, 3, weight);
            floats!(context, 4, norm_bias);
            floats!(context, 5, bias);
            let products = Products { values, scales, bias, width };
            let norm = Norm { weight, bias: (!norm_bias.is_empty()).then_some(norm_bias), epsilon };
            output!(context, 0, u8, [size(rows), size(width)], quantised);
            output!(context, 1, f32, [size(rows)], new_scales);
            output!(context, 2, f32, [size(rows), size(width)], sums);
            let count = block_rows(rows, width);
            let elements = (count * width).max(1);
            let outputs = quantised.chunks_mut(elements).zip(new_scales.chunks_mut(count)).zip(sums.chunks_mut(elements));
            let blocks =
                outputs.zip(residual.chunks(elements)).enumerate().map(|(index, block)| (index * count, block)).collect();
            for_blocks(context, blocks, |(first, (((quantised, new_scales), sums), residual))| {
                let mut normalised = vec![0.0; width];
                let rows =
                    products.rows(*first, new_scales.len()).zip(residual.chunks_exact(width)).zip(sums.chunks_exact_mut(width));
                for (((product, residual), sum), (quantised, new_scale)) in
                    rows.zip(quantised.chunks_exact_mut(width).zip(new_scales.iter_mut()))
                {
                    scale(product, sum);
                    add(residual, sum);
                    normalise(sum, norm, &mut normalised);
                    *new_scale = quantise(&normalised, quantised);
                }
            })
        }))
    }
}

impl Operator for ActivateQuantizeRows {
    type Kernel<'attr> = BoxedKernel<'attr>;

    fn name(&self) -> &'static str {
        "ActivateQuantizeRows"
    }

    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        [OperatorInput::required(Float32), OperatorInput::optional(Float32), OperatorInput::optional(Float32)]
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        [OperatorOutput::required(Uint8), OperatorOutput::required(Float32)]
    }

    fn create_kernel<'attr>(&self, kernel: &KernelContext<'attr>) -> ort::Result<Self::Kernel<'attr>> {
        let gated = kernel.get::<i64>("gated").ok_or_else(missing)? != 0;
        Ok(Box::new(move |context: &ComputeContext| {
            let input = context.input(0)?.ok_or_else(missing)?;
            let (shape, values) = input.try_extract_tensor::<f32>()?;
            let (rows, width) = rows_and_width(shape)?;
            floats!(context, 1, scales);
            floats!(context, 2, bias);
            let products = Products { values, scales, bias, width };
            let outputs = if gated { width / 2 } else { width };
            output!(context, 0, u8, [size(rows), size(outputs)], quantised);
            output!(context, 1, f32, [size(rows)], new_scales);
            let count = block_rows(rows, width);
            let blocks = quantised.chunks_mut((count * outputs).max(1)).zip(new_scales.chunks_mut(count));
            let blocks = blocks.enumerate().map(|(index, block)| (index * count, block)).collect();
            for_blocks(context, blocks, |(first, (quantised, new_scales))| {
                let mut row = vec![0.0; width];
                let targets = quantised.chunks_exact_mut(outputs).zip(new_scales.iter_mut());
                let count = targets.len();
                for (product, (quantised, new_scale)) in products.rows(*first, count).zip(targets) {
                    scale(product, &mut row);
                    let (active, gate) = row.split_at_mut(outputs);
                    if gated {
                        silu_gate(active, gate);
                    } else {
                        gelu_tanh(active);
                    }
                    *new_scale = quantise(active, quantised);
                }
            })
        }))
    }
}
