//! Matrices of 8-bit integers whose products do not depend on who else is in the batch.
//!
//! Weights have a scale a column, activations a scale **a row**: ONNX Runtime's own `DynamicQuantizeMatMul` takes one scale for all rows, so
//! that one person's text changes with a stranger's. Sums of integers are exact in any order, and everything else here works on one row
//! at a time with the same instructions whatever their number, so a row's result has the same bits alone and among others.
//!
//! The multiplication itself is [`multiply`]'s on processors that have instructions for it, on others ONNX Runtime's `MatMulIntegerToFloat`.
//! What lies between two multiplications (scale, bias, residual, norm or
//! activation, and the next quantisation) is one operator of ours instead of six small ones, since at one row a step it is their
//! number that costs: [`kernels`] computes a row, [`mod@operators`] offers them to the graph.

mod arguments;
pub(super) mod kernels;
pub(super) mod multiply;
mod operators;
mod row_norm;
mod weights;

pub(super) use self::operators::{DOMAIN, operators};
pub(super) use self::row_norm::RowNorm;
pub(super) use self::weights::quantise_columns;
