//! The folder in which the server keeps what it must not lose.

use std::io::ErrorKind;
use std::path::Path;

use crate::start_error::StartError;

/// Whether the folder can be read, or made. Writes nothing.
pub(crate) fn check(path: &Path) -> Result<(), StartError> {
    let refused = |problem: &str| {
        Err(StartError::File { path: path.to_owned(), problem: format!("{problem} (DATA_DIR chooses the folder)") })
    };
    match std::fs::read_dir(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let above =
                path.ancestors().skip(1).map(|folder| if folder.as_os_str().is_empty() { Path::new(".") } else { folder });
            match above.into_iter().find(|folder| folder.exists()) {
                Some(folder) if !folder.is_dir() => refused(&format!("cannot be made: {} is not a folder", folder.display())),
                _ => Ok(()),
            }
        }
        Err(error) => refused(&format!("cannot be read: {error}")),
    }
}

/// Makes the folder, for its owner alone, if it is not there.
pub(crate) fn make(path: &Path) -> Result<(), StartError> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(|error| StartError::file(path, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_not_there_yet_can_be_made_and_a_file_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let (new, file) = (folder.path().join("a/b"), folder.path().join("file"));
        check(&new).unwrap();
        assert!(!folder.path().join("a").exists(), "checking writes nothing");
        make(&new).unwrap();
        make(&new).unwrap();
        check(&new).unwrap();
        std::fs::write(&file, "").unwrap();
        for path in [&file, &file.join("below")] {
            let problem = check(path).unwrap_err().to_string();
            assert!(problem.contains("DATA_DIR") && problem.starts_with(&path.display().to_string()), "{problem}");
        }
    }
}
