//! What must hold of vectors, whichever provider sent them, before anybody here believes them.

use ports::GenerationError;

/// The most that a vector takes in JSON: 8,192 numbers, more than any model makes, of 32 characters.
const MAX_VECTOR_BYTES: usize = 256 << 10;
/// The most that a whole answer is allowed, however many vectors it holds: 2,048 of 3,072 numbers in JSON take that much.
const MAX_ANSWER_BYTES: usize = 160 << 20;

/// The longest answer with so many vectors that is read.
pub(crate) fn answer_limit(inputs: usize) -> usize {
    inputs.saturating_mul(MAX_VECTOR_BYTES).saturating_add(MAX_VECTOR_BYTES).min(MAX_ANSWER_BYTES)
}

/// The vectors, if there is one for each input, all of them as long as was asked for and as each other, and of finite numbers.
pub(crate) fn checked(
    provider: &'static str,
    vectors: Vec<Vec<f32>>,
    inputs: usize,
    dimensions: Option<u32>,
) -> Result<Vec<Vec<f32>>, GenerationError> {
    let failed = |problem: String| Err(GenerationError::ProviderFailed { provider, problem });
    if vectors.len() != inputs {
        return failed(format!("it sent {} vectors of {inputs} inputs", vectors.len()));
    }
    let width = vectors.first().map_or(0, Vec::len);
    if width == 0 || vectors.iter().any(|vector| vector.len() != width) {
        return failed("it sent vectors of no length, or of several".to_owned());
    }
    if let Some(asked) = dimensions.filter(|asked| usize::try_from(*asked) != Ok(width)) {
        return failed(format!("it sent vectors of {width} numbers where {asked} were asked for"));
    }
    if vectors.iter().flatten().any(|value| !value.is_finite()) {
        return failed("it sent vectors with what is no number".to_owned());
    }
    Ok(vectors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_vectors_of_one_length_and_of_numbers_are_believed() {
        let good = vec![vec![1.0, 0.0], vec![0.0, 1.0]];
        assert_eq!(checked("p", good.clone(), 2, Some(2)), Ok(good.clone()));
        assert_eq!(checked("p", good.clone(), 2, None), Ok(good.clone()));
        for (vectors, inputs, dimensions) in [
            (good.clone(), 1, None),
            (good.clone(), 3, None),
            (good, 2, Some(3)),
            (vec![vec![1.0], vec![1.0, 2.0]], 2, None),
            (vec![vec![]], 1, None),
            (vec![vec![f32::NAN]], 1, None),
            (vec![vec![f32::INFINITY]], 1, None),
        ] {
            let outcome = checked("p", vectors, inputs, dimensions);
            assert!(matches!(outcome, Err(GenerationError::ProviderFailed { provider: "p", .. })), "{outcome:?}");
        }
    }

    #[test]
    fn an_answer_may_be_as_long_as_its_vectors_and_never_without_end() {
        assert_eq!(answer_limit(1), 2 * MAX_VECTOR_BYTES);
        assert_eq!(answer_limit(usize::MAX), MAX_ANSWER_BYTES);
    }
}
