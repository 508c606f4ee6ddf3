//! Quantised weights kept in a file, so that a model that was converted once is loaded by reading a quarter of its bytes or less.
//!
//! The file is in the safetensors format: for each matrix its integers, named by the tensors it was made of, and its scales. What it is
//! called says which weights it was made of (their digest), in which form, and by which version of the arithmetic. It is written beside
//! its final name and renamed when it is whole. A file that is missing, cut short or does not fit is no error: the weights are converted
//! again.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::int8::multiply::suits_processor;
use super::safetensors::{TensorLocation, read_header};
use super::weights::{Initializer, WeightForm};

/// Whatever changes a quantised number must change this.
const VERSION: u32 = 1;

/// Below so many bytes converting takes no time worth a file.
const WORTH_KEEPING: usize = 16 << 20;

/// Where a model's quantised weights are found, or kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum QuantisedWeights {
    /// They are made anew.
    #[default]
    Nowhere,
    /// They may lie in this file.
    In(PathBuf),
    /// They are to be written to the first of these files that can be written, if it is worth it.
    To(Vec<PathBuf>),
}

/// The folders in which a model's quantised weights are kept: beside the model, or where that cannot be written, with the digests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuantisedStore {
    folders: Vec<PathBuf>,
    /// What is written has this name until it is whole and its digest is known.
    unfinished: String,
}

impl QuantisedStore {
    /// The store of the model in `folder`.
    pub fn new(folder: &Path, digest_cache: Option<&Path>) -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let folders = std::iter::once(folder.join(".tertulia")).chain(digest_cache.map(Path::to_owned)).collect();
        let unfinished = format!("{}-{}.part", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        Self { folders, unfinished }
    }

    /// Where a load finds or keeps the weights; `name` is that of the file that may be there, where it is known already.
    pub fn weights(&self, name: Option<&str>) -> QuantisedWeights {
        let found = name.and_then(|name| self.folders.iter().map(|folder| folder.join(name)).find(|path| path.is_file()));
        found.map_or_else(|| QuantisedWeights::To(self.unfinished().collect()), QuantisedWeights::In)
    }

    /// The folder beside the model, and the one for what cannot be kept there.
    pub fn folders(&self) -> &[PathBuf] {
        &self.folders
    }

    /// Ends a load: what it has written gets its name, or goes where it has none. A file of the same form beside the model is of weights that
    /// are no longer there. Answers the folder in which something was kept.
    pub fn settle(&self, name: Option<&str>) -> Option<&Path> {
        let mut kept_in = None;
        for (folder, unfinished) in self.folders.iter().zip(self.unfinished()).filter(|(_, unfinished)| unfinished.is_file()) {
            let kept = name.is_some_and(|name| std::fs::rename(&unfinished, folder.join(name)).is_ok());
            if !kept {
                let _ = std::fs::remove_file(&unfinished);
                continue;
            }
            kept_in = Some(folder.as_path());
            if Some(folder) == self.folders.first() {
                remove_others(folder, name.unwrap_or_default());
            }
        }
        kept_in
    }

    fn unfinished(&self) -> impl Iterator<Item = PathBuf> {
        self.folders.iter().map(|folder| folder.join(&self.unfinished))
    }
}

fn remove_others(folder: &Path, name: &str) {
    let form = name.split_once('.').map_or("", |(_, form)| form);
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let other = entry.file_name();
        if other.to_str().is_some_and(|other| other != name && other.ends_with(form)) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// The name of the file with the quantised form of weights that have this digest, or `None` where that form is the weights themselves.
pub(super) fn file_name(digest: &str, form: WeightForm) -> Option<String> {
    let form = match form {
        WeightForm::Float => return None,
        // The layouts differ.
        WeightForm::Int8 if suits_processor() => "int8-vnni",
        WeightForm::Int8 => "int8",
        WeightForm::Int4 => "int4",
    };
    Some(format!("{digest}.{form}-v{VERSION}.safetensors"))
}

/// What a file of quantised weights holds.
#[derive(Debug, Default)]
pub(super) struct Kept(BTreeMap<String, TensorLocation>);

impl Kept {
    /// What lies in a file; nothing where it cannot be read.
    pub(super) fn open(weights: &QuantisedWeights) -> Self {
        let QuantisedWeights::In(path) = weights else { return Self::default() };
        match read_header(path) {
            Ok(tensors) => Self(tensors.into_iter().map(|tensor| (tensor.name().to_owned(), tensor)).collect()),
            Err(error) => {
                tracing::debug!(%error, "quantised weights are made anew");
                Self::default()
            }
        }
    }

    /// Fills a matrix of signed integers and its scales, if they are here and can be read. If not, both are to be filled anew.
    pub(super) fn read_signed(&self, matrix: &str, integers: &mut [i8], scales: &mut [f32]) -> bool {
        const CHUNK: usize = 256 << 10;
        let Some(kept) = self.find(matrix, integers.len(), scales) else { return false };
        let mut bytes = vec![0; CHUNK.min(integers.len())];
        integers.chunks_mut(CHUNK).enumerate().all(|(chunk, integers)| {
            let Some(bytes) = bytes.get_mut(..integers.len()) else { return false };
            let read = kept.read_bytes(chunk * CHUNK, bytes).is_ok();
            integers.iter_mut().zip(bytes).for_each(|(integer, byte)| *integer = byte.cast_signed());
            read
        })
    }

    /// The same for bytes.
    pub(super) fn read_unsigned(&self, matrix: &str, integers: &mut [u8], scales: &mut [f32]) -> bool {
        self.find(matrix, integers.len(), scales).is_some_and(|kept| kept.read_bytes(0, integers).is_ok())
    }

    /// The integers of a matrix, whose scales are read already.
    fn find(&self, matrix: &str, integers: usize, scales: &mut [f32]) -> Option<&TensorLocation> {
        let (kept, kept_scales) = (self.0.get(matrix)?, self.0.get(&scales_of(matrix))?);
        let fits = kept.elements() == integers && kept_scales.elements() == scales.len();
        (fits && kept_scales.read(0, scales).is_ok()).then_some(kept)
    }
}

fn scales_of(matrix: &str) -> String {
    format!("{matrix} scales")
}

/// Writes what was quantised. A failure is no error: it will be made anew.
pub(super) fn keep(weights: &QuantisedWeights, initializers: &[Initializer]) {
    let QuantisedWeights::To(paths) = weights else { return };
    let tensors: Vec<(String, Contents<'_>)> = initializers.iter().filter_map(contents).collect();
    if tensors.iter().map(|(_, contents)| contents.bytes()).sum::<usize>() < WORTH_KEEPING {
        return;
    }
    for path in paths {
        match write(path, &tensors) {
            Ok(()) => return,
            Err(error) => {
                tracing::debug!(path = %path.display(), %error, "quantised weights were not kept");
                let _ = std::fs::remove_file(path);
            }
        }
    }
}

enum Contents<'a> {
    Signed(&'a [i8]),
    Unsigned(&'a [u8]),
    Floats(&'a [f32]),
}

impl Contents<'_> {
    fn bytes(&self) -> usize {
        match self {
            Self::Signed(values) => values.len(),
            Self::Unsigned(values) => values.len(),
            Self::Floats(values) => size_of_val(*values),
        }
    }

    /// The type's name in the format, and the number of elements.
    fn description(&self) -> (&'static str, usize) {
        match self {
            Self::Signed(values) => ("I8", values.len()),
            Self::Unsigned(values) => ("U8", values.len()),
            Self::Floats(values) => ("F32", values.len()),
        }
    }

    fn write(&self, file: &mut impl Write) -> io::Result<()> {
        match self {
            Self::Unsigned(values) => file.write_all(values),
            Self::Signed(values) => values
                .chunks(1 << 16)
                .try_for_each(|part| file.write_all(&part.iter().map(|value| value.cast_unsigned()).collect::<Vec<u8>>())),
            Self::Floats(values) => values.iter().try_for_each(|value| file.write_all(&value.to_le_bytes())),
        }
    }
}

/// What of an initializer belongs into the file, and under which name.
fn contents(initializer: &Initializer) -> Option<(String, Contents<'_>)> {
    let (matrix, is_scales) = initializer.quantised_from.as_ref()?;
    let name = if *is_scales { scales_of(matrix) } else { matrix.clone() };
    let value = &initializer.value;
    let signed = value.try_extract_tensor::<i8>().map(|(_, values)| Contents::Signed(values));
    let unsigned = || value.try_extract_tensor::<u8>().map(|(_, values)| Contents::Unsigned(values));
    let floats = || value.try_extract_tensor::<f32>().map(|(_, values)| Contents::Floats(values));
    Some((name, signed.or_else(|_| unsigned()).or_else(|_| floats()).ok()?))
}

fn write(path: &Path, tensors: &[(String, Contents<'_>)]) -> io::Result<()> {
    let mut header = serde_json::Map::new();
    let mut offset = 0;
    for (name, contents) in tensors {
        let (element_type, length) = contents.description();
        let end = offset + contents.bytes();
        header
            .insert(name.clone(), serde_json::json!({ "dtype": element_type, "shape": [length], "data_offsets": [offset, end] }));
        offset = end;
    }
    let header = serde_json::Value::Object(header).to_string();
    std::fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
    file.write_all(&(header.len() as u64).to_le_bytes())?;
    file.write_all(header.as_bytes())?;
    tensors.iter().try_for_each(|(_, contents)| contents.write(&mut file))?;
    file.into_inner()?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_back_and_what_does_not_fit_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights.safetensors");
        let (integers, scales) = ([-128_i8, -1, 0, 127], [0.5_f32, -0.25]);
        let tensors = [("w".to_owned(), Contents::Signed(&integers)), (scales_of("w"), Contents::Floats(&scales))];
        write(&path, &tensors).unwrap();
        let kept = Kept::open(&QuantisedWeights::In(path.clone()));
        let (mut found, mut floats) = ([0; 4], [0.0; 2]);
        assert!(kept.read_signed("w", &mut found, &mut floats));
        assert_eq!((found, floats), (integers, scales));
        assert!(!kept.read_signed("w", &mut [0; 5], &mut floats), "of another size");
        assert!(!kept.read_signed("v", &mut found, &mut floats), "of other tensors");
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        assert!(!Kept::open(&QuantisedWeights::In(path)).read_signed("w", &mut found, &mut floats), "cut short");
    }

    #[test]
    fn each_form_of_each_weights_has_a_file_of_its_own() {
        assert_eq!(file_name("ab", WeightForm::Float), None);
        assert_ne!(file_name("ab", WeightForm::Int8), file_name("ab", WeightForm::Int4));
        assert_ne!(file_name("ab", WeightForm::Int8), file_name("ac", WeightForm::Int8));
    }

    #[test]
    fn what_a_load_wrote_is_found_by_its_name_and_replaces_what_was_made_of_other_weights() {
        let folder = tempfile::tempdir().unwrap();
        let store = QuantisedStore::new(folder.path(), None);
        let QuantisedWeights::To(paths) = store.weights(Some("b.int8-v1.safetensors")) else { panic!("nothing is there yet") };
        std::fs::create_dir(folder.path().join(".tertulia")).unwrap();
        for other in ["a.int8-v1.safetensors", "a.int4-v1.safetensors"] {
            std::fs::write(folder.path().join(".tertulia").join(other), "").unwrap();
        }
        std::fs::write(&paths[0], "weights").unwrap();
        store.settle(Some("b.int8-v1.safetensors"));
        let found = folder.path().join(".tertulia/b.int8-v1.safetensors");
        assert_eq!(store.weights(Some("b.int8-v1.safetensors")), QuantisedWeights::In(found));
        assert!(!folder.path().join(".tertulia/a.int8-v1.safetensors").exists());
        assert!(folder.path().join(".tertulia/a.int4-v1.safetensors").exists());
    }

    #[test]
    fn what_an_unfinished_load_wrote_goes() {
        let folder = tempfile::tempdir().unwrap();
        let store = QuantisedStore::new(&folder.path().join("no folder"), Some(folder.path()));
        let QuantisedWeights::To(paths) = store.weights(None) else { panic!("nothing is there yet") };
        std::fs::write(&paths[1], "weights").unwrap();
        store.settle(None);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
