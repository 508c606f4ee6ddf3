//! Looks up the rows that hidden states start from, by reading them from the model's file.
//!
//! The table of a vocabulary is as large as the last matrix of a small model. Its rows are read where they lie, exactly as they were saved, a few
//! kilobytes a token: the system keeps what is used in its page cache, and none of it is the process's own memory.

use super::architectures::EmbeddingTensors;
use crate::text::step_model::StepError;

/// The tables of tokens and, where they are learned, positions.
pub(super) struct Embedding {
    tensors: EmbeddingTensors,
    width: usize,
    row: Vec<f32>,
}

impl Embedding {
    pub(super) fn new(tensors: EmbeddingTensors, width: usize) -> Self {
        Self { tensors, width, row: vec![0.0; width] }
    }

    /// Writes one row a token to `rows`, `[tokens, width]`.
    pub(super) fn look_up(&mut self, tokens: &[u32], positions: &[usize], rows: &mut [f32]) -> Result<(), StepError> {
        for ((&token, &position), row) in tokens.iter().zip(positions).zip(rows.chunks_exact_mut(self.width)) {
            let failed = |error: std::io::Error| StepError(format!("the embedding of token {token} could not be read: {error}"));
            let vocabulary = self.tensors.tokens.shape().first().copied().unwrap_or_default();
            let token = usize::try_from(token).ok().filter(|&token| token < vocabulary);
            let token = token.ok_or_else(|| StepError("a token is not in the vocabulary".to_owned()))?;
            self.tensors.tokens.read(token * self.width, row).map_err(failed)?;
            if let Some(positions) = &self.tensors.positions {
                positions.read(position * self.width, &mut self.row).map_err(failed)?;
                row.iter_mut().zip(&self.row).for_each(|(value, addend)| *value += addend);
            }
        }
        Ok(())
    }
}
