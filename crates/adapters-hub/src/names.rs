//! Names of models, commits and files, whoever wrote them: each becomes a part of a path on this machine.

use ports::{HubModel, RepositoryError};

/// Hexadecimal digits of a commit (SHA-1).
const COMMIT_LENGTH: usize = 40;

/// Refuses a model whose name or revision could lead out of its folder, or into another model's.
pub(crate) fn check_model(model: &HubModel) -> Result<(), RepositoryError> {
    let HubModel { repository, revision } = model;
    let segments: Vec<&str> = repository.split('/').collect();
    // The cache writes `/` as `--`; the hub has no name with either in it.
    let repository_ok = segments.len() <= 2 && segments.iter().all(|s| is_segment(s)) && !repository.contains("--");
    if repository_ok && revision.split('/').all(is_segment) {
        Ok(())
    } else {
        let what = format!("{repository}@{revision}");
        Err(RepositoryError::NotFound(format!("{what:?} is no model of the hub: names look like gpt2 or ORG/NAME@REVISION")))
    }
}

fn is_segment(text: &str) -> bool {
    let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    (1..=128).contains(&text.len()) && text != "." && text != ".." && plain
}

/// Whether a revision is a commit by its full name: what lies under it never changes.
pub(crate) fn is_commit(revision: &str) -> bool {
    is_hex(revision, COMMIT_LENGTH)
}

/// Whether a text is lower-case hexadecimal of this length.
pub(crate) fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Whether a file's path in a repository stays within it.
pub(crate) fn is_relative_path(path: &str) -> bool {
    let inside = path.split('/').all(|segment| !matches!(segment, "" | "." | ".."));
    inside && path.len() <= 1024 && !path.contains('\\') && !path.chars().any(char::is_control)
}

/// Whether a name is that of a file of weights in the repository's own folder.
pub(crate) fn is_plain_weights_name(name: &str) -> bool {
    is_relative_path(name) && !name.contains('/') && name.strip_suffix(".safetensors").is_some_and(|stem| !stem.is_empty())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn check(repository: &str, revision: &str) -> bool {
        check_model(&HubModel { repository: repository.into(), revision: revision.into() }).is_ok()
    }

    #[rstest]
    #[case("gpt2", "main", true)]
    #[case("org/name.v1_x-2", "refs/pr/1", true)]
    #[case("a/b/c", "main", false)]
    #[case("../x", "main", false)]
    #[case("", "main", false)]
    #[case("a--b", "main", false)]
    #[case("a\\b", "main", false)]
    #[case("gpt2", "../main", false)]
    #[case("gpt2", "", false)]
    #[case("gpt2", "/etc", false)]
    fn a_model_stays_in_its_folder(#[case] repository: &str, #[case] revision: &str, #[case] allowed: bool) {
        assert_eq!(check(repository, revision), allowed);
    }

    #[test]
    fn a_path_stays_in_its_repository() {
        for good in ["config.json", "onnx/model.onnx", ".gitattributes", "a b/ü.txt", "..a"] {
            assert!(is_relative_path(good), "{good}");
        }
        for bad in ["", "/etc/passwd", "../x", "a/../b", "a/..", "a//b", "./a", "a\\b", "..\\x", "a\nb", "a/"] {
            assert!(!is_relative_path(bad), "{bad}");
        }
    }

    #[test]
    fn weights_are_safetensors_without_a_folder() {
        assert!(is_plain_weights_name("model-00001-of-00002.safetensors"));
        for bad in ["x/model.safetensors", "../model.safetensors", ".safetensors", "model.bin", "model.safetensors/"] {
            assert!(!is_plain_weights_name(bad), "{bad}");
        }
    }
}
