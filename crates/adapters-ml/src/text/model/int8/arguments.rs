//! How operators get at their inputs and outputs.

/// The error of a graph that was not built by this crate.
pub(super) fn missing() -> ort::Error {
    ort::Error::new("an input or output is missing")
}

/// Rows and width of a two-dimensional shape.
pub(super) fn rows_and_width(shape: &[i64]) -> ort::Result<(usize, usize)> {
    match shape {
        [rows, width] => Ok((usize::try_from(*rows).unwrap_or(0), usize::try_from(*width).unwrap_or(0))),
        _ => Err(ort::Error::new("rows must have two dimensions")),
    }
}

/// Binds a name to the floats of an input, or to nothing where it is left out.
macro_rules! floats {
    ($context:ident, $index:literal, $name:ident) => {
        let $name = $context.input($index)?;
        let $name: &[f32] = match &$name {
            Some(value) => value.try_extract_tensor::<f32>()?.1,
            None => &[],
        };
    };
}
pub(super) use floats;

/// Binds a name to the memory of an output of this type and shape.
macro_rules! output {
    ($context:ident, $index:literal, $type:ty, $shape:expr, $name:ident) => {
        let mut $name = $context.output($index, $shape)?.ok_or_else(missing)?;
        let (_, $name) = $name.try_extract_tensor_mut::<$type>()?;
    };
}
pub(super) use output;

/// A length as a dimension.
pub(super) fn size(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}
