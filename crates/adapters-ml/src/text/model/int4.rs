//! Matrices of 4-bit integers with a scale for each block of weights, as ONNX Runtime's `MatMulNBits` takes them.
//!
//! The smallest form, and the coarsest: the last matrix, which chooses between tokens, is kept in 8 bits. Unlike in 8 bits, a row's result
//! may differ by rounding with the number of rows beside it, since the runtime has another routine for a single one.

use super::LoadError;
use super::weights::{Matrix, read_elements};

/// Weights that share a scale, along the inputs.
pub(super) const BLOCK: usize = 32;

/// Blocks of one output.
pub(super) fn blocks(inputs: usize) -> usize {
    inputs.div_ceil(BLOCK)
}

/// Reads a matrix into `quantised`, `[outputs, blocks, BLOCK / 2]`, and `scales`, `[outputs × blocks]`.
pub(super) fn quantise_blocks(matrix: &Matrix<'_>, quantised: &mut [u8], scales: &mut [f32]) -> Result<(), LoadError> {
    let (inputs, blocks) = (matrix.inputs, blocks(matrix.inputs));
    let mut targets = quantised.chunks_exact_mut(blocks * BLOCK / 2).zip(scales.chunks_exact_mut(blocks));
    for part in &matrix.parts {
        let outputs = part.shape().iter().product::<usize>() / inputs.max(1);
        let mut values = vec![0.0; inputs * outputs];
        read_elements(part, 0, &mut values)?;
        let mut column = vec![0.0; inputs];
        for (output, (quantised, scales)) in (0..outputs).zip(&mut targets) {
            if matrix.outputs_first {
                column.copy_from_slice(values.get(output * inputs..(output + 1) * inputs).unwrap_or_default());
            } else {
                let source = values.iter().skip(output).step_by(outputs);
                column.iter_mut().zip(source).for_each(|(target, source)| *target = *source);
            }
            for ((block, quantised), scale) in column.chunks(BLOCK).zip(quantised.chunks_exact_mut(BLOCK / 2)).zip(scales) {
                *scale = quantise_block(block, quantised);
            }
        }
    }
    Ok(())
}

/// Quantises a block around 8, so that its weight of largest magnitude, of whatever sign, becomes 0, the far end of the asymmetric range.
fn quantise_block(block: &[f32], quantised: &mut [u8]) -> f32 {
    let extreme = block.iter().fold(0.0_f32, |extreme, value| if value.abs() > extreme.abs() { *value } else { extreme });
    let scale = extreme / -8.0;
    let inverse = if scale == 0.0 { 0.0 } else { 1.0 / scale };
    let nibble = |value: f32| {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0..=15")]
        let nibble = (value * inverse + 8.5).clamp(0.0, 15.0) as u8;
        nibble
    };
    for (pair, byte) in block.chunks(2).zip(quantised) {
        let [low, high] = [pair.first(), pair.get(1)].map(|value| nibble(value.copied().unwrap_or_default()));
        *byte = low | high << 4;
    }
    scale
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_restored_within_a_step_of_its_scale() {
        let block: Vec<f32> = (0..31_u8).map(|index| (f32::from(index) * 0.7).sin()).collect();
        let mut quantised = [0; BLOCK / 2];
        let scale = quantise_block(&block, &mut quantised);
        for (index, value) in block.iter().enumerate() {
            let nibble = quantised[index / 2] >> (4 * (index % 2)) & 15;
            let restored = (f32::from(nibble) - 8.0) * scale;
            assert!((restored - value).abs() <= scale.abs(), "{value} became {restored}");
        }
    }

    #[test]
    fn a_block_of_zeros_stays_zero() {
        let mut quantised = [0; 1];
        assert_eq!(quantise_block(&[0.0, 0.0], &mut quantised).to_bits(), (0.0_f32 / -8.0).to_bits());
        assert_eq!(quantised, [0x88]);
    }
}
