//! Why a folder did not become a model. Each error names the file and the field or tensor, so that an operator knows what to mend.

use std::path::{Path, PathBuf};

/// Why a model could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file is missing or cannot be read.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// `config.json` describes a family of models that has no graph here. Nothing was allocated.
    #[error("{}: model_type {model_type:?} is not supported (supported: {supported})", path.display())]
    UnsupportedFamily {
        /// The configuration.
        path: PathBuf,
        /// What it names itself.
        model_type: String,
        /// What could be loaded instead.
        supported: &'static str,
    },
    /// A field of `config.json` is missing, out of bounds, or asks for something this engine does not compute.
    #[error("{}: {field}: {problem}", path.display())]
    Configuration {
        /// The configuration.
        path: PathBuf,
        /// The field.
        field: &'static str,
        /// What is wrong, with what is allowed.
        problem: String,
    },
    /// A file of weights, or their index, is not what its format demands.
    #[error("{}: {problem}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A tensor is missing, or has another shape or type than the configuration demands.
    #[error("{}: tensor {tensor}: {problem}", path.display())]
    Tensor {
        /// The file, or the folder where no file has it.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// What is wrong.
        problem: String,
    },
    /// The weights and the smallest useful cache need more memory than the limit.
    #[error(
        "the model needs {needed_bytes} bytes ({weights_bytes} for weights, {cache_bytes} for the smallest cache, {workspace_bytes} for \
         activations), the limit is {limit_bytes} bytes: raise the limit, choose a smaller model, or a coarser precision"
    )]
    DoesNotFit {
        /// The sum.
        needed_bytes: u64,
        /// Weights, as they lie in memory.
        weights_bytes: u64,
        /// Keys and values of one slot with the shortest context that is worth having.
        cache_bytes: u64,
        /// Activations of a step.
        workspace_bytes: u64,
        /// What was allowed.
        limit_bytes: u64,
    },
    /// ONNX Runtime could not be loaded, or refused the graph.
    #[error("ONNX Runtime: {0}")]
    Runtime(String),
}

impl LoadError {
    pub(super) fn unreadable(path: &Path, source: std::io::Error) -> Self {
        Self::Unreadable { path: path.to_owned(), source }
    }

    pub(super) fn format(path: &Path, problem: impl Into<String>) -> Self {
        Self::Format { path: path.to_owned(), problem: problem.into() }
    }

    pub(super) fn tensor(path: &Path, tensor: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Tensor { path: path.to_owned(), tensor: tensor.into(), problem: problem.into() }
    }
}

impl<R> From<ort::Error<R>> for LoadError {
    fn from(error: ort::Error<R>) -> Self {
        Self::Runtime(error.message().to_owned())
    }
}
