//! What a tokenizer's files say, looked at before the library reads them: their size, their shape, and where a text ends.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::TokenizerError;

/// The largest `config.json` or `generation_config.json` that is read.
const MAX_CONFIG_FILE_BYTES: u64 = 1024 * 1024;

/// Names the field that is missing or of the wrong kind. The library alone would say "did not match any variant of untagged enum".
pub(super) fn check_shape(json: &[u8]) -> Result<(), String> {
    #[derive(Deserialize)]
    struct Outer<Model> {
        model: Model,
    }
    #[derive(Deserialize)]
    struct Model {
        vocab: IgnoredAny,
    }
    let Outer { model: IgnoredAny } = serde_json::from_slice(json).map_err(|error| error.to_string())?;
    let Outer { model: Model { vocab: IgnoredAny } } = serde_json::from_slice(json).map_err(|error| format!("model: {error}"))?;
    Ok(())
}

/// `eos_token_id`: one number, several, or none at all.
#[derive(Deserialize, Default)]
#[serde(untagged)]
enum EndTokens {
    One(u32),
    Several(Vec<u32>),
    #[default]
    None,
}

#[derive(Deserialize)]
struct ConfigFile {
    #[serde(default)]
    eos_token_id: serde_json::Value,
}

/// The end-of-text tokens of a folder. As in Hugging Face, `generation_config.json` goes before `config.json`.
pub(super) fn end_tokens(folder: &Path) -> Result<Vec<u32>, TokenizerError> {
    for name in ["generation_config.json", "config.json"] {
        let path = folder.join(name);
        let json = match read_bounded(&path, MAX_CONFIG_FILE_BYTES) {
            Ok(json) => json,
            Err(TokenizerError::Unreadable { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let malformed = |problem: String| TokenizerError::Malformed { path: path.clone(), problem };
        let config: ConfigFile = serde_json::from_slice(&json).map_err(|error| malformed(error.to_string()))?;
        let tokens = match EndTokens::deserialize(config.eos_token_id) {
            Ok(EndTokens::One(token)) => vec![token],
            Ok(EndTokens::Several(tokens)) => tokens,
            Ok(EndTokens::None) => continue,
            Err(_) => return Err(malformed("eos_token_id: must be a token, a list of tokens, or null".to_owned())),
        };
        return Ok(tokens);
    }
    Ok(Vec::new())
}

/// Reads a file that has no more than `limit` bytes; a file that grows while it is read is not followed.
pub(in crate::text) fn read_bounded(path: &Path, limit: u64) -> Result<Vec<u8>, TokenizerError> {
    let unreadable = |source| TokenizerError::Unreadable { path: path.to_owned(), source };
    let file = File::open(path).map_err(unreadable)?;
    let size = file.metadata().map_err(unreadable)?.len();
    if size > limit {
        return Err(TokenizerError::Malformed {
            path: path.to_owned(),
            problem: format!("has {size} bytes; at most {limit} are read"),
        });
    }
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
    file.take(limit).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(bytes)
}
