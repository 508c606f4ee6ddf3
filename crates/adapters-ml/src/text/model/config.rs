//! Reads `config.json` field by field, each within bounds: a number from a stranger's file decides how much memory is asked for.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::LoadError;
use super::safetensors::read_limited;

const MAX_CONFIG_BYTES: u64 = 1 << 20;

/// A model's configuration, and where it came from.
#[derive(Debug, Clone)]
pub(super) struct ConfigFile {
    path: PathBuf,
    values: Map<String, Value>,
}

impl ConfigFile {
    pub(super) fn read(folder: &Path) -> Result<Self, LoadError> {
        let path = folder.join("config.json");
        let text = read_limited(&path, MAX_CONFIG_BYTES)?;
        Self::parse(&path, &text)
    }

    /// Reads what came from `path`, which the errors name.
    pub(super) fn parse(path: &Path, text: &[u8]) -> Result<Self, LoadError> {
        let values = serde_json::from_slice(text).map_err(|error| LoadError::format(path, error.to_string()))?;
        Ok(Self { path: path.to_owned(), values })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The error of a field.
    pub(super) fn refuse(&self, field: &'static str, problem: impl Into<String>) -> LoadError {
        LoadError::Configuration { path: self.path.clone(), field, problem: problem.into() }
    }

    /// The field, where it is there and not null.
    fn get(&self, field: &str) -> Option<&Value> {
        self.values.get(field).filter(|value| !value.is_null())
    }

    /// A whole number within bounds.
    pub(super) fn integer(&self, field: &'static str, bounds: RangeInclusive<usize>) -> Result<usize, LoadError> {
        self.optional_integer(field, bounds)?.ok_or_else(|| self.refuse(field, "is missing"))
    }

    /// A whole number within bounds, or `None` where the field is missing or null.
    pub(super) fn optional_integer(
        &self,
        field: &'static str,
        bounds: RangeInclusive<usize>,
    ) -> Result<Option<usize>, LoadError> {
        let Some(value) = self.get(field) else { return Ok(None) };
        let number = value.as_u64().and_then(|number| usize::try_from(number).ok()).filter(|number| bounds.contains(number));
        let allowed = || format!("is {value}; a whole number from {} to {} is allowed", bounds.start(), bounds.end());
        number.map(Some).ok_or_else(|| self.refuse(field, allowed()))
    }

    /// A finite number within bounds, or `default`.
    pub(super) fn number(&self, field: &'static str, bounds: RangeInclusive<f64>, default: f64) -> Result<f64, LoadError> {
        let Some(value) = self.get(field) else { return Ok(default) };
        let allowed = || format!("is {value}; a number from {} to {} is allowed", bounds.start(), bounds.end());
        value.as_f64().filter(|number| bounds.contains(number)).ok_or_else(|| self.refuse(field, allowed()))
    }

    /// A truth value, or `default`.
    pub(super) fn flag(&self, field: &'static str, default: bool) -> Result<bool, LoadError> {
        let Some(value) = self.get(field) else { return Ok(default) };
        value.as_bool().ok_or_else(|| self.refuse(field, format!("is {value}; true or false is allowed")))
    }

    /// A text, or `None` where the field is missing or null.
    pub(super) fn text(&self, field: &'static str) -> Result<Option<&str>, LoadError> {
        let Some(value) = self.get(field) else { return Ok(None) };
        value.as_str().map(Some).ok_or_else(|| self.refuse(field, format!("is {value}; a text is allowed")))
    }

    /// An object, as a configuration of its own whose errors name the same file.
    pub(super) fn section(&self, field: &'static str) -> Result<Option<Self>, LoadError> {
        let Some(value) = self.get(field) else { return Ok(None) };
        let values = value.as_object().ok_or_else(|| self.refuse(field, "must be an object"))?;
        Ok(Some(Self { path: self.path.clone(), values: values.clone() }))
    }

    /// Refuses a flag that asks for something no graph here computes.
    pub(super) fn must_be(&self, field: &'static str, wanted: bool) -> Result<(), LoadError> {
        if self.flag(field, wanted)? == wanted { Ok(()) } else { Err(self.refuse(field, format!("only {wanted} is supported"))) }
    }
}

/// Bounds that hold for every family. They are far above any model that runs on a processor, and keep products of two within 64 bits.
pub(super) mod bounds {
    use std::ops::RangeInclusive;

    pub(in super::super) const LAYERS: RangeInclusive<usize> = 1..=512;
    pub(in super::super) const WIDTH: RangeInclusive<usize> = 1..=65_536;
    pub(in super::super) const HEADS: RangeInclusive<usize> = 1..=1_024;
    pub(in super::super) const HEAD_SIZE: RangeInclusive<usize> = 1..=1_024;
    pub(in super::super) const INNER: RangeInclusive<usize> = 1..=524_288;
    pub(in super::super) const VOCABULARY: RangeInclusive<usize> = 1..=2_097_152;
    pub(in super::super) const CONTEXT: RangeInclusive<usize> = 1..=2_097_152;
    pub(in super::super) const EPSILON: RangeInclusive<f64> = 1e-12..=1e-1;
    pub(in super::super) const ROPE_BASE: RangeInclusive<f64> = 1.0..=1e12;
}
