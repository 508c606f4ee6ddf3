//! Where settings come from: the environment, and a file `.env` in the working directory for what the environment does not set.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::ConfigError;

/// Names and values as they were given, before anything is made of them.
#[derive(Debug, Default)]
pub(crate) struct Source {
    values: BTreeMap<String, String>,
    from_file: BTreeSet<String>,
}

impl Source {
    /// Reads the environment of this process and `.env`. The environment wins. Nothing is written back to the environment.
    pub(crate) fn of_this_process() -> Result<Self, ConfigError> {
        let mut source = Self::from_env_file(Path::new(".env"))?;
        // A name or value that is not UTF-8 cannot be a setting of ours; what it decodes to is refused where it is used.
        let environment = std::env::vars_os().map(|(name, value)| (lossy(&name), lossy(&value)));
        for (name, value) in environment {
            source.from_file.remove(&name);
            source.values.insert(name, value);
        }
        Ok(source)
    }

    /// Reads one file of `NAME=value` lines; a file that is not there holds none.
    pub(crate) fn from_env_file(path: &Path) -> Result<Self, ConfigError> {
        let unreadable = |problem: String| ConfigError::new(path.display().to_string(), problem);
        let lines = match dotenvy::from_path_iter(path) {
            Ok(lines) => lines,
            Err(error) if error.not_found() => return Ok(Self::default()),
            Err(error) => return Err(unreadable(error.to_string())),
        };
        let mut source = Self::default();
        for line in lines {
            // The error repeats the line, which may hold a secret.
            let (name, value) = line.map_err(|error| unreadable(line_problem(&error)))?;
            source.from_file.insert(name.clone());
            source.values.insert(name, value);
        }
        Ok(source)
    }

    /// A value; an empty one counts as not given, as in `NAME=` in a file or a container's environment.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())
    }

    /// What the file holds beyond these names: most likely misspelt.
    pub(crate) fn unknown_in_file(&self, known: &BTreeSet<&'static str>) -> Vec<String> {
        self.from_file.iter().filter(|name| !known.contains(name.as_str())).cloned().collect()
    }

    #[cfg(test)]
    pub(crate) fn of(pairs: &[(&str, &str)]) -> Self {
        let values = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self { values, from_file: BTreeSet::new() }
    }

    #[cfg(test)]
    pub(crate) fn names(&self) -> BTreeSet<&str> {
        self.values.keys().map(String::as_str).collect()
    }
}

fn lossy(text: &std::ffi::OsStr) -> String {
    text.to_string_lossy().into_owned()
}

fn line_problem(error: &dotenvy::Error) -> String {
    match error {
        dotenvy::Error::LineParse(line, _) => {
            let name: String = line.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            format!(
                "the line that begins with {name:?} is not NAME=value; put a value with spaces or special characters in single quotes"
            )
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env_file(content: &str) -> Result<Source, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".env");
        std::fs::write(&path, content).unwrap();
        Source::from_env_file(&path)
    }

    #[test]
    fn a_file_that_is_not_there_holds_no_settings() {
        assert!(Source::from_env_file(Path::new("/nowhere/.env")).unwrap().values.is_empty());
    }

    #[test]
    fn comments_quotes_and_empty_values_are_understood() {
        let source = env_file("# a comment\nHOST=0.0.0.0\nSYSTEM_PROMPT='be kind, please'\nSECRET_KEY=\n").unwrap();
        assert_eq!(source.get("HOST"), Some("0.0.0.0"));
        assert_eq!(source.get("SYSTEM_PROMPT"), Some("be kind, please"));
        assert_eq!(source.get("SECRET_KEY"), None);
    }

    #[test]
    fn a_misspelt_name_in_the_file_is_noticed() {
        let source = env_file("PROT=9000\nPORT=9000\n").unwrap();
        assert_eq!(source.unknown_in_file(&BTreeSet::from(["PORT"])), ["PROT"]);
    }

    #[test]
    fn a_line_that_cannot_be_read_is_named_without_its_value() {
        let problem = env_file("SECRET_KEY='never closed\n").unwrap_err().to_string();
        assert!(problem.contains("SECRET_KEY") && !problem.contains("never"), "{problem}");
    }
}
