//! The multiplication as an operator of the graph.
#![expect(unsafe_code, reason = "threads share out the columns of the result")]

use ort::operator::{BoxedKernel, ComputeContext, KernelContext, Operator, OperatorInput, OperatorOutput};
use ort::value::TensorElementType::{Float32, Int8, Int32, Uint8};

use super::kernel::{Multiplication, Rows, Weights};
use super::layout::Layout;
use crate::text::model::int8::arguments::{floats, missing, output, rows_and_width, size};

/// Bytes of weights, times rows, below which waking another thread costs more than it saves.
const SERIAL_PRODUCTS: usize = 262_144;

/// Parts of a product that threads take one after another, so that one that comes late takes fewer.
const PARTS: usize = 8;

/// `rows u8 [R, K]`, `row_scales [R]`, `weights i8` in the shape of [`Layout`], `column_scales`, `corrections i32`, both of padded columns,
/// `bias [N]?` → `rows [R, N]`. Attribute `outputs`: N.
pub(in super::super) struct QuantizedMatMul;

impl Operator for QuantizedMatMul {
    type Kernel<'attr> = BoxedKernel<'attr>;

    fn name(&self) -> &'static str {
        "QuantizedMatMul"
    }

    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        let required = [Uint8, Float32, Int8, Float32, Int32].map(OperatorInput::required);
        required.into_iter().chain([OperatorInput::optional(Float32)])
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        [OperatorOutput::required(Float32)]
    }

    fn create_kernel<'attr>(&self, kernel: &KernelContext<'attr>) -> ort::Result<Self::Kernel<'attr>> {
        let outputs = kernel.get::<i64>("outputs").and_then(|outputs| usize::try_from(outputs).ok()).ok_or_else(missing)?;
        Ok(Box::new(move |context: &ComputeContext| multiply(context, outputs)))
    }
}

fn multiply(context: &ComputeContext, outputs: usize) -> ort::Result<()> {
    let rows = context.input(0)?.ok_or_else(missing)?;
    let (shape, values) = rows.try_extract_tensor::<u8>()?;
    let (count, inputs) = rows_and_width(shape)?;
    floats!(context, 1, row_scales);
    let weights = context.input(2)?.ok_or_else(missing)?;
    floats!(context, 3, column_scales);
    let corrections = context.input(4)?.ok_or_else(missing)?;
    floats!(context, 5, bias);
    let layout = Layout { inputs, outputs };
    let weights = Weights {
        layout,
        values: weights.try_extract_tensor::<i8>()?.1,
        corrections: corrections.try_extract_tensor::<i32>()?.1,
        scales: column_scales,
        bias,
    };
    let misfit = || ort::Error::new("the parts of a multiplication do not fit together");
    let task = Multiplication::new(Rows { values, scales: row_scales }, weights).ok_or_else(misfit)?;
    output!(context, 0, f32, [size(count), size(outputs)], results);
    let results = task.results(results).ok_or_else(misfit)?;
    let blocks = layout.blocks();
    let serial = count * blocks * layout.block_bytes() <= SERIAL_PRODUCTS;
    // Pairs of blocks stay together.
    let part = if serial { blocks } else { blocks.div_ceil(PARTS).next_multiple_of(2) }.max(1);
    let work = |index: usize| {
        // SAFETY: The results are of this multiplication and live to the end; parts do not overlap.
        unsafe { task.compute(index * part..(index + 1) * part, &results) }
    };
    match blocks.div_ceil(part) {
        0 => Ok(()),
        1 => {
            work(0);
            Ok(())
        }
        parts => context.par_for(parts, parts, work),
    }
}
