//! The multiplication of rows with a matrix, both in 8 bits, on processors that have instructions for it (VNNI).
//!
//! ONNX Runtime's operator (`MatMulIntegerToFloat`) reads weights at half the speed of memory where there are few rows. This one has them in
//! the order in which they are read ([`layout`]), which is the one copy in memory, and reads them once for up to sixteen rows ([`kernel`],
//! [`lanes`]); it scales rows and adds the bias before it writes ([`operator`]). Its results have the same bits as those of ONNX Runtime's
//! operator followed by [`super::kernels::scale`].

mod kernel;
mod lanes;
mod layout;
mod operator;

pub(in super::super) use self::kernel::suits_processor;
pub(in super::super) use self::layout::{Layout, QUAD};
pub(super) use self::operator::QuantizedMatMul;
