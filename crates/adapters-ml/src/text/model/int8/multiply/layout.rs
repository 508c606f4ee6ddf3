//! In which order the weights of a matrix lie.
//!
//! An instruction of VNNI multiplies four unsigned with four signed bytes and adds the products to a sum, for sixteen sums (or eight) at a
//! time. So sixteen columns make a block, in which four inputs of each column lie together: `[outputs / 16, inputs / 4, 16, 4]`. A thread
//! that computes a range of columns reads its weights from beginning to end. What is missing to whole blocks is zero.

/// Columns of a block.
pub(super) const COLUMNS: usize = 16;
/// Inputs of a column that lie together.
pub(in crate::text::model) const QUAD: usize = 4;
/// What stands for zero among activations.
const ZERO_POINT: i32 = 128;

/// The size of a matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::text::model) struct Layout {
    pub(in crate::text::model) inputs: usize,
    pub(in crate::text::model) outputs: usize,
}

impl Layout {
    pub(super) fn blocks(self) -> usize {
        self.outputs.div_ceil(COLUMNS)
    }

    /// Columns, rounded up to whole blocks: so many scales and corrections there are.
    pub(in crate::text::model) fn padded_outputs(self) -> usize {
        self.blocks() * COLUMNS
    }

    pub(super) fn quads(self) -> usize {
        self.inputs.div_ceil(QUAD)
    }

    pub(super) fn block_bytes(self) -> usize {
        self.quads() * COLUMNS * QUAD
    }

    /// The shape of the tensor that holds the weights.
    pub(in crate::text::model) fn shape(self) -> [usize; 4] {
        [self.blocks(), self.quads(), COLUMNS, QUAD]
    }

    /// Writes zeros where no weight will be written.
    pub(in crate::text::model) fn clear_padding(self, weights: &mut [i8]) {
        if !self.inputs.is_multiple_of(QUAD) {
            weights.fill(0);
        } else if !self.outputs.is_multiple_of(COLUMNS)
            && let Some(last) = weights.chunks_exact_mut(self.block_bytes().max(1)).last()
        {
            last.fill(0);
        }
    }

    /// Writes all inputs of one column.
    pub(in crate::text::model) fn write_column(self, weights: &mut [i8], column: usize, values: &[i8]) {
        let block = weights.chunks_exact_mut(self.block_bytes().max(1)).nth(column / COLUMNS).unwrap_or_default();
        let places = block.as_chunks_mut::<QUAD>().0.iter_mut().skip(column % COLUMNS).step_by(COLUMNS);
        let (quads, rest) = values.as_chunks::<QUAD>();
        let last = std::array::from_fn(|index| rest.get(index).copied().unwrap_or_default());
        places.zip(quads.iter().chain(std::iter::once(&last))).for_each(|(place, quad)| *place = *quad);
    }

    /// Writes four inputs, the first of which is a multiple of four, of neighbouring columns.
    pub(in crate::text::model) fn write_quad(
        self,
        weights: &mut [i8],
        first_input: usize,
        first_column: usize,
        rows: [&[i8]; QUAD],
    ) {
        let bytes = self.block_bytes().max(1);
        let [first, second, third, fourth] = rows;
        let mut quads = first.iter().zip(second).zip(third.iter().zip(fourth));
        let mut lane = first_column % COLUMNS;
        for block in weights.chunks_exact_mut(bytes).skip(first_column / COLUMNS) {
            let places = block.as_chunks_mut::<{ COLUMNS * QUAD }>().0.get_mut(first_input / QUAD);
            let places = places.map(|places| places.as_chunks_mut::<QUAD>().0).unwrap_or_default();
            for (place, ((first, second), (third, fourth))) in places.iter_mut().skip(lane).zip(quads.by_ref()) {
                *place = [*first, *second, *third, *fourth];
            }
            if quads.len() == 0 {
                break;
            }
            lane = 0;
        }
    }

    /// What each column's sum begins with: activations are unsigned around 128, so 128 times the sum of its weights is too much.
    pub(in crate::text::model) fn corrections(self, weights: &[i8]) -> Vec<i32> {
        let blocks = weights.chunks_exact(self.block_bytes().max(1));
        blocks.flat_map(|block| column_sums(block).map(|sum| sum.wrapping_mul(-ZERO_POINT))).collect()
    }
}

/// The sums of a block's columns.
fn column_sums(block: &[i8]) -> [i32; COLUMNS] {
    let mut sums = [0; COLUMNS];
    // So many quads add up in 16 bits, which is twice as fast.
    for quads in block.chunks(COLUMNS * QUAD * 32) {
        let mut some = [0_i16; COLUMNS * QUAD];
        for quad in quads.as_chunks::<{ COLUMNS * QUAD }>().0 {
            some.iter_mut().zip(quad).for_each(|(sum, weight)| *sum += i16::from(*weight));
        }
        for (sum, some) in sums.iter_mut().zip(some.as_chunks::<QUAD>().0) {
            *sum += some.iter().map(|&sum| i32::from(sum)).sum::<i32>();
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_columns_and_four_inputs_of_all_columns_lie_in_the_same_order() {
        for (inputs, outputs) in [(1, 1), (4, 16), (7, 17), (12, 50), (9, 33)] {
            let layout = Layout { inputs, outputs };
            let weight = |input: usize, column: usize| i8::try_from((input * 31 + column * 17) % 255).unwrap_or(-128);
            let size = layout.shape().iter().product();
            let (mut by_column, mut by_quad) = (vec![99; size], vec![77; size]);
            layout.clear_padding(&mut by_column);
            layout.clear_padding(&mut by_quad);
            for column in 0..outputs {
                let values: Vec<i8> = (0..inputs).map(|input| weight(input, column)).collect();
                layout.write_column(&mut by_column, column, &values);
            }
            // Two parts, as of two tensors side by side.
            for columns in [0..outputs / 3, outputs / 3..outputs] {
                for first in (0..inputs).step_by(QUAD) {
                    let row =
                        |input: usize| columns.clone().map(move |column| if input < inputs { weight(input, column) } else { 0 });
                    let rows: [Vec<i8>; QUAD] = std::array::from_fn(|index| row(first + index).collect());
                    layout.write_quad(&mut by_quad, first, columns.start, rows.each_ref().map(Vec::as_slice));
                }
            }
            assert!(by_column == by_quad, "{layout:?}");
            let corrections = layout.corrections(&by_column);
            assert_eq!(corrections.len(), layout.padded_outputs());
            for (column, correction) in corrections.into_iter().enumerate() {
                let sum = if column < outputs { (0..inputs).map(|input| i32::from(weight(input, column))).sum() } else { 0 };
                assert_eq!(correction, -128 * sum, "{layout:?}: column {column}");
            }
        }
    }

    #[test]
    fn sums_of_the_largest_weights_do_not_overflow() {
        for weight in [-128, 127] {
            assert_eq!(column_sums(&vec![weight; 4096 * COLUMNS]), [4096 * i32::from(weight); COLUMNS]);
        }
    }
}
