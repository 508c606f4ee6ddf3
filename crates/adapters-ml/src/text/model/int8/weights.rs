//! Quantises a matrix of weights to signed 8 bits with a scale a column, straight into the layout of [`multiply`](super::multiply), or into the
//! one that `MatMulIntegerToFloat` takes: `[inputs, outputs]`.

use super::multiply::{Layout, QUAD};
use crate::text::model::LoadError;
use crate::text::model::weights::{Matrix, read_elements};

/// Rows of an `[outputs, inputs]` tensor that are turned at once: their columns are then written in runs of a cache line.
const BLOCK: usize = 64;
const LARGEST: f32 = 127.0;
/// See `kernels::ROUNDING`.
const ROUNDING: f32 = 12_582_912.0;

/// Reads a matrix into `quantised`, which has this layout or else is `[inputs, outputs]`, and the scales of its columns.
pub(in super::super) fn quantise_columns(
    matrix: &Matrix<'_>,
    layout: Option<Layout>,
    quantised: &mut [i8],
    scales: &mut [f32],
) -> Result<(), LoadError> {
    if let Some(layout) = layout {
        layout.clear_padding(quantised);
    }
    let mut first_output = 0;
    for part in &matrix.parts {
        let outputs = part.shape().iter().product::<usize>() / matrix.inputs.max(1);
        let columns = Columns { layout, all: matrix.outputs, first: first_output, inputs: matrix.inputs };
        if matrix.outputs_first {
            let mut block = vec![0.0; BLOCK * matrix.inputs];
            for first in (0..outputs).step_by(BLOCK) {
                let rows = BLOCK.min(outputs - first);
                let Some(block) = block.get_mut(..rows * matrix.inputs) else { break };
                read_elements(part, first * matrix.inputs, block)?;
                columns.turn(first, block, quantised, scales);
            }
        } else {
            let mut values = vec![0.0; matrix.inputs * outputs];
            read_elements(part, 0, &mut values)?;
            columns.keep(&values, outputs, quantised, scales);
        }
        first_output += outputs;
    }
    Ok(())
}

/// Where the columns of a part lie in the whole.
struct Columns {
    layout: Option<Layout>,
    all: usize,
    first: usize,
    inputs: usize,
}

impl Columns {
    /// Quantises rows `[outputs, inputs]`, each of which becomes a column.
    fn turn(&self, first: usize, block: &[f32], quantised: &mut [i8], scales: &mut [f32]) {
        let first = self.first + first;
        let rows: Vec<&[f32]> = block.chunks_exact(self.inputs).collect();
        let mut turned = vec![0_i8; if self.layout.is_some() { self.inputs } else { block.len() }];
        for (column, row) in rows.iter().enumerate() {
            // Bits of magnitudes are in the magnitudes' order, and whole numbers are compared in vectors whatever their order.
            let largest = row.iter().fold(0, |largest, value| largest.max(value.to_bits() & 0x7fff_ffff));
            let (scale, inverse) = scale_of(f32::from_bits(largest));
            if let Some(slot) = scales.get_mut(first + column) {
                *slot = scale;
            }
            if let Some(layout) = self.layout {
                turned.iter_mut().zip(*row).for_each(|(target, value)| *target = rounded(value * inverse));
                layout.write_column(quantised, first + column, &turned);
            } else {
                for (target, value) in turned.iter_mut().skip(column).step_by(rows.len()).zip(*row) {
                    *target = rounded(value * inverse);
                }
            }
        }
        if self.layout.is_some() {
            return;
        }
        for (target, source) in quantised.chunks_exact_mut(self.all).zip(turned.chunks_exact(rows.len())) {
            if let Some(target) = target.get_mut(first..first + rows.len()) {
                target.copy_from_slice(source);
            }
        }
    }

    /// Quantises `[inputs, outputs]` as it lies.
    fn keep(&self, values: &[f32], outputs: usize, quantised: &mut [i8], scales: &mut [f32]) {
        let mut largest = vec![0.0_f32; outputs];
        for row in values.chunks_exact(outputs) {
            for (largest, value) in largest.iter_mut().zip(row) {
                let magnitude = value.abs();
                *largest = if magnitude > *largest { magnitude } else { *largest };
            }
        }
        let inverses: Vec<f32> = largest.iter().map(|&largest| scale_of(largest).1).collect();
        for (scale, largest) in scales.iter_mut().skip(self.first).zip(largest) {
            *scale = scale_of(largest).0;
        }
        if let Some(layout) = self.layout {
            self.keep_in_quads(layout, values, &inverses, quantised);
            return;
        }
        for (target, row) in quantised.chunks_exact_mut(self.all).zip(values.chunks_exact(outputs)) {
            for ((target, value), inverse) in target.iter_mut().skip(self.first).zip(row).zip(&inverses) {
                *target = rounded(value * inverse);
            }
        }
    }

    /// The same in the layout of quads: four inputs of all columns at a time.
    fn keep_in_quads(&self, layout: Layout, values: &[f32], inverses: &[f32], quantised: &mut [i8]) {
        let outputs = inverses.len();
        for (index, values) in values.chunks(QUAD * outputs).enumerate() {
            let mut rows = [(); QUAD].map(|()| vec![0; outputs]);
            for (row, values) in rows.iter_mut().zip(values.chunks_exact(outputs)) {
                for ((target, value), inverse) in row.iter_mut().zip(values).zip(inverses) {
                    *target = rounded(value * inverse);
                }
            }
            layout.write_quad(quantised, index * QUAD, self.first, rows.each_ref().map(Vec::as_slice));
        }
    }
}

/// The scale of a column, and its inverse.
fn scale_of(largest: f32) -> (f32, f32) {
    if largest > 0.0 { (largest / LARGEST, LARGEST / largest) } else { (0.0, 0.0) }
}

fn rounded(value: f32) -> i8 {
    (value + ROUNDING).to_bits().to_le_bytes()[0].cast_signed()
}
