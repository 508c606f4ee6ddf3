//! Settings of the Hugging Face hub. Their names and meanings are those of the hub's own tools.

use std::path::{Path, PathBuf};

use adapters_hub::HubEndpoint;
use secrecy::SecretString;

use super::{ConfigError, Reader};

/// Where models come from and where they are kept.
#[derive(Debug, Clone)]
pub(crate) struct HubSettings {
    pub(crate) endpoint: HubEndpoint,
    pub(crate) home: PathBuf,
    pub(crate) token: Option<SecretString>,
    pub(crate) max_model_bytes: u64,
}

const PUBLIC_HUB: &str = "https://huggingface.co";

impl HubSettings {
    pub(super) fn read(reader: &mut Reader<'_>, data_dir: &Path) -> Result<Self, ConfigError> {
        let endpoint = reader.text_or("HF_ENDPOINT", PUBLIC_HUB).parse();
        Ok(Self {
            // The value may hold a password: the error does not repeat it.
            endpoint: endpoint
                .map_err(|problem: adapters_hub::InvalidEndpoint| ConfigError::new("HF_ENDPOINT", problem.to_string()))?,
            home: reader.path("HF_HOME").unwrap_or_else(|| data_dir.join("models")),
            token: reader.secret("HF_TOKEN", 1)?,
            max_model_bytes: reader.number("HF_MAX_MODEL_BYTES", 64 << 30, 1..=1 << 50)?,
        })
    }
}
