//! From text to checked values: one method for each kind of setting, each with an error that says what is allowed.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use secrecy::SecretString;

use super::{ConfigError, Source};

/// Reads settings by name, and remembers every name it was asked for.
pub(super) struct Reader<'a> {
    source: &'a Source,
    known: BTreeSet<&'static str>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(source: &'a Source) -> Self {
        Self { source, known: BTreeSet::new() }
    }

    /// All names that were asked for.
    pub(super) fn into_known(self) -> BTreeSet<&'static str> {
        self.known
    }

    pub(super) fn text(&mut self, name: &'static str) -> Option<String> {
        self.known.insert(name);
        self.source.get(name).map(str::to_owned)
    }

    pub(super) fn text_or(&mut self, name: &'static str, default: &str) -> String {
        self.text(name).unwrap_or_else(|| default.to_owned())
    }

    pub(super) fn path(&mut self, name: &'static str) -> Option<PathBuf> {
        self.text(name).map(PathBuf::from)
    }

    /// A value whose type knows how to read it; `parse` says what is wrong with one it refuses.
    pub(super) fn parsed<T, E: Display>(
        &mut self,
        name: &'static str,
        default: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<T, ConfigError> {
        let text = self.text_or(name, default);
        parse(&text).map_err(|problem| ConfigError::new(name, format!("{text:?} is not allowed: {problem}")))
    }

    pub(super) fn optional_parsed<T, E: Display>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<Option<T>, ConfigError> {
        self.known.insert(name);
        if self.source.get(name).is_none() { Ok(None) } else { self.parsed(name, "", parse).map(Some) }
    }

    pub(super) fn number<T>(&mut self, name: &'static str, default: T, range: RangeInclusive<T>) -> Result<T, ConfigError>
    where
        T: FromStr + PartialOrd + Display + Copy,
    {
        Ok(self.optional_number(name, range)?.unwrap_or(default))
    }

    pub(super) fn optional_number<T>(&mut self, name: &'static str, range: RangeInclusive<T>) -> Result<Option<T>, ConfigError>
    where
        T: FromStr + PartialOrd + Display + Copy,
    {
        let Some(text) = self.text(name) else { return Ok(None) };
        let number = text.parse().ok().filter(|number| range.contains(number));
        number.map(Some).ok_or_else(|| {
            let (min, max) = (range.start(), range.end());
            ConfigError::new(name, format!("{text:?} is not allowed: must be a whole number between {min} and {max}"))
        })
    }

    pub(super) fn seconds(
        &mut self,
        name: &'static str,
        default: u64,
        range: RangeInclusive<u64>,
    ) -> Result<Duration, ConfigError> {
        self.number(name, default, range).map(Duration::from_secs)
    }

    /// `true` or `false`; `1` and `0` mean the same.
    pub(super) fn flag(&mut self, name: &'static str, default: bool) -> Result<bool, ConfigError> {
        self.choice(
            name,
            &[(if default { "true" } else { "false" }, default), ("true", true), ("false", false), ("1", true), ("0", false)],
        )
    }

    /// One of a few words; the first is the default.
    pub(super) fn choice<T: Copy>(&mut self, name: &'static str, choices: &[(&str, T)]) -> Result<T, ConfigError> {
        let text = self.text(name);
        let chosen = match &text {
            Some(text) => choices.iter().find(|(word, _)| word.eq_ignore_ascii_case(text)),
            None => choices.first(),
        };
        chosen.map(|(_, value)| *value).ok_or_else(|| {
            let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
            let given = text.unwrap_or_default();
            ConfigError::new(name, format!("{given:?} is not allowed: must be one of {}", words.join(", ")))
        })
    }

    /// Values separated by commas.
    pub(super) fn list(&mut self, name: &'static str) -> Vec<String> {
        let text = self.text(name).unwrap_or_default();
        text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
    }

    /// Values separated by commas, of a type that knows how to read one.
    pub(super) fn parsed_list<T, E: Display>(
        &mut self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Result<Vec<T>, ConfigError> {
        let refused = |problem: E| ConfigError::new(name, format!("{problem}; several are separated by commas"));
        self.list(name).iter().map(|item| parse(item).map_err(refused)).collect()
    }

    /// One secret of at least `min_bytes`. The error never repeats it.
    pub(super) fn secret(&mut self, name: &'static str, min_bytes: usize) -> Result<Option<SecretString>, ConfigError> {
        match self.text(name) {
            Some(short) if short.len() < min_bytes => {
                Err(ConfigError::new(name, format!("has {} bytes: must have at least {min_bytes}", short.len())))
            }
            secret => Ok(secret.map(SecretString::from)),
        }
    }

    /// Secrets separated by commas, each of at least `min_bytes`. The error never repeats one.
    pub(super) fn secrets(&mut self, name: &'static str, min_bytes: usize) -> Result<Vec<SecretString>, ConfigError> {
        let secrets = self.list(name);
        match secrets.iter().find(|secret| secret.len() < min_bytes) {
            Some(short) => {
                let problem =
                    format!("a key has {} bytes: must have at least {min_bytes}, as `openssl rand -hex 32` gives", short.len());
                Err(ConfigError::new(name, problem))
            }
            None => Ok(secrets.into_iter().map(SecretString::from).collect()),
        }
    }
}
