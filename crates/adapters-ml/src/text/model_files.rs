//! The small files beside a model's weights that say how it is talked to.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

use serde_json::{Map, Value};

use super::tokenizer::{TokenizerError, read_bounded};

/// The largest of these files that is read. Those of today's models have up to 2 MB, nearly all of it lists of reserved tokens.
const MAX_BYTES: u64 = 16 << 20;

/// Whose names of special tokens a template may ask for.
const SPECIAL_TOKENS: [&str; 7] = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/// A file's text; `None` where there is no such file. The error names the file.
pub(super) fn read_text(path: &Path) -> Result<Option<String>, String> {
    match read_bounded(path, MAX_BYTES) {
        Ok(bytes) => String::from_utf8(bytes).map(Some).map_err(|error| format!("{}: {error}", path.display())),
        Err(TokenizerError::Unreadable { source, .. }) if source.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

/// A file that holds an object; `None` where there is no such file. The error names the file.
pub(super) fn read_object(path: &Path) -> Result<Option<Map<String, Value>>, String> {
    let Some(text) = read_text(path)? else { return Ok(None) };
    serde_json::from_str(&text).map(Some).map_err(|error| format!("{}: {error}", path.display()))
}

/// The names of the special tokens by what they are for (`eos_token`, …), from `tokenizer_config.json` or else
/// `special_tokens_map.json`. What cannot be read names none: whoever needs the file says what is wrong with it.
pub(super) fn special_names(folder: &Path) -> BTreeMap<&'static str, String> {
    let files = ["tokenizer_config.json", "special_tokens_map.json"].map(|name| read_object(&folder.join(name)).ok().flatten());
    let name_of = |purpose: &str| {
        files.iter().flatten().find_map(|file| match file.get(purpose)? {
            Value::String(name) => Some(name.clone()),
            // As `AddedToken` is written out.
            Value::Object(token) => token.get("content")?.as_str().map(str::to_owned),
            _ => None,
        })
    };
    SPECIAL_TOKENS.into_iter().filter_map(|purpose| Some((purpose, name_of(purpose)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_special_tokens_name_may_be_written_in_either_way_and_in_either_file() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, json: &str| std::fs::write(folder.path().join(name), json).unwrap();
        write(
            "tokenizer_config.json",
            r#"{"bos_token": null, "eos_token": {"content": "</s>", "lstrip": false}, "unk_token": 3}"#,
        );
        write("special_tokens_map.json", r#"{"bos_token": "<s>", "eos_token": "other"}"#);
        let names = special_names(folder.path());
        assert_eq!(names.into_iter().collect::<Vec<_>>(), [("bos_token", "<s>".to_owned()), ("eos_token", "</s>".to_owned())]);
        write("tokenizer_config.json", "no json");
        assert_eq!(special_names(folder.path())["eos_token"], "other");
        assert!(read_object(&folder.path().join("tokenizer_config.json")).unwrap_err().contains("tokenizer_config.json: "));
        assert_eq!(read_object(&folder.path().join("absent.json")), Ok(None));
    }
}
