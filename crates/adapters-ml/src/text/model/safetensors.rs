//! Reads files in the safetensors format, which come from strangers: every number in the header is checked before it is used.
//!
//! A file is an 8-byte little-endian length, a JSON header of that length, and the tensors' bytes
//! (<https://github.com/huggingface/safetensors#format>). Tensors are read with positioned reads rather than through a mapping: a file
//! that is cut short underneath a mapping kills the process, while a read merely fails, and pages that are read do not count as ours.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;

use super::LoadError;

/// The format allows 100 MB; the headers of models with thousands of tensors stay under one.
const MAX_HEADER_BYTES: u64 = 16 << 20;
const MAX_DIMENSIONS: usize = 8;
/// Bytes read at a time while a tensor is converted: large enough to be fast, small enough to stay in a processor's cache.
const CHUNK_BYTES: usize = 256 << 10;

/// The type of a tensor's elements. Others are kept by name, with their size, since a file may hold buffers that no graph needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ElementType {
    F32,
    F16,
    Bf16,
    /// Not a float that weights come in; the number of bits of one element.
    Other(u32),
}

impl ElementType {
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "F32" => Self::F32,
            "F16" => Self::F16,
            "BF16" => Self::Bf16,
            "BOOL" | "U8" | "I8" | "F8_E4M3" | "F8_E5M2" | "F8_E8M0" => Self::Other(8),
            "U16" | "I16" => Self::Other(16),
            "U32" | "I32" => Self::Other(32),
            "U64" | "I64" | "F64" => Self::Other(64),
            _ => return None,
        })
    }

    fn bits(self) -> u64 {
        match self {
            Self::F32 => 32,
            Self::F16 | Self::Bf16 => 16,
            Self::Other(bits) => u64::from(bits),
        }
    }
}

#[derive(Deserialize)]
struct HeaderEntry {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: (u64, u64),
}

/// Where one tensor lies.
#[derive(Debug, Clone)]
pub(super) struct TensorLocation {
    file: Arc<File>,
    path: Arc<Path>,
    name: String,
    element_type: ElementType,
    shape: Vec<usize>,
    /// First byte, from the beginning of the file.
    offset: u64,
}

/// Reads and checks the header of one file.
pub(super) fn read_header(path: &Path) -> Result<Vec<TensorLocation>, LoadError> {
    let unreadable = |source| LoadError::unreadable(path, source);
    let file = File::open(path).map_err(unreadable)?;
    let file_bytes = file.metadata().map_err(unreadable)?.len();
    let mut length = [0; 8];
    file.read_exact_at(&mut length, 0).map_err(|error| short(path, &error, "it is too short to have a header"))?;
    let header_bytes = u64::from_le_bytes(length);
    if header_bytes > MAX_HEADER_BYTES {
        return Err(LoadError::format(path, format!("a header of {header_bytes} bytes is over the limit of {MAX_HEADER_BYTES}")));
    }
    let mut header = vec![0; usize::try_from(header_bytes).unwrap_or(usize::MAX)];
    file.read_exact_at(&mut header, 8).map_err(|error| short(path, &error, "it ends within its header"))?;
    let data_bytes = file_bytes.saturating_sub(8 + header_bytes);
    let entries = parse_header(&header, data_bytes).map_err(|problem| LoadError::format(path, problem))?;
    let (file, shared_path) = (Arc::new(file), Arc::from(path));
    Ok(entries
        .into_iter()
        .map(|entry| TensorLocation {
            file: Arc::clone(&file),
            path: Arc::clone(&shared_path),
            name: entry.name,
            element_type: entry.element_type,
            shape: entry.shape,
            offset: 8 + header_bytes + entry.begin,
        })
        .collect())
}

fn short(path: &Path, error: &io::Error, problem: &str) -> LoadError {
    LoadError::format(path, format!("{problem} ({error})"))
}

/// A checked entry of a header.
#[derive(Debug)]
struct Entry {
    name: String,
    element_type: ElementType,
    shape: Vec<usize>,
    begin: u64,
    end: u64,
}

/// Checks a header against the number of bytes that follow it: each tensor lies within them, is as long as its shape and type say, and
/// shares no byte with another; together they fill them.
fn parse_header(header: &[u8], data_bytes: u64) -> Result<Vec<Entry>, String> {
    let values: BTreeMap<String, serde_json::Value> =
        serde_json::from_slice(header).map_err(|error| format!("its header is not a JSON object: {error}"))?;
    let mut entries = Vec::with_capacity(values.len());
    for (name, value) in values {
        if name != "__metadata__" {
            let entry = check_entry(&name, value, data_bytes).map_err(|problem| format!("tensor {name}: {problem}"))?;
            entries.push(Entry { name, ..entry });
        }
    }
    entries.sort_by_key(|entry| (entry.begin, entry.end));
    let mut filled = 0;
    for entry in &entries {
        if entry.begin != filled {
            return Err(format!("tensor {}: begins at byte {}, the one before ends at {filled}", entry.name, entry.begin));
        }
        filled = entry.end;
    }
    if filled == data_bytes { Ok(entries) } else { Err(format!("{data_bytes} bytes follow the header, its tensors have {filled}")) }
}

fn check_entry(name: &str, value: serde_json::Value, data_bytes: u64) -> Result<Entry, String> {
    const MAX_NAME_BYTES: usize = 512;
    if name.len() > MAX_NAME_BYTES {
        return Err(format!("a name of {} bytes is over the limit of {MAX_NAME_BYTES}", name.len()));
    }
    let raw: HeaderEntry = serde_json::from_value(value).map_err(|error| error.to_string())?;
    let element_type = ElementType::parse(&raw.dtype).ok_or_else(|| format!("unknown type {:?}", raw.dtype))?;
    if raw.shape.len() > MAX_DIMENSIONS {
        return Err(format!("{} dimensions are over the limit of {MAX_DIMENSIONS}", raw.shape.len()));
    }
    let (begin, end) = raw.data_offsets;
    if begin > end || end > data_bytes {
        return Err(format!("bytes {begin}..{end} do not lie within the {data_bytes} bytes of data"));
    }
    let bits = raw.shape.iter().try_fold(element_type.bits(), |bits, &length| bits.checked_mul(length));
    if bits != (end - begin).checked_mul(8) {
        return Err(format!("shape {:?} of {} does not take {} bytes", raw.shape, raw.dtype, end - begin));
    }
    let shape = raw.shape.iter().map(|&length| usize::try_from(length)).collect::<Result<_, _>>().map_err(|error| error.to_string())?;
    Ok(Entry { name: String::new(), element_type, shape, begin, end })
}

impl TensorLocation {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Whether its elements are floats that [`Self::read`] converts.
    pub(super) fn is_float(&self) -> bool {
        !matches!(self.element_type, ElementType::Other(_))
    }

    /// Reads `values.len()` elements from the element `first` on, converted to 32-bit floats.
    pub(super) fn read(&self, first: usize, values: &mut [f32]) -> io::Result<()> {
        let element_bytes = match self.element_type {
            ElementType::F32 => 4,
            ElementType::F16 | ElementType::Bf16 => 2,
            ElementType::Other(_) => return Err(io::Error::new(io::ErrorKind::InvalidData, "its elements are not floats")),
        };
        let mut buffer = vec![0; CHUNK_BYTES.min(values.len().saturating_mul(element_bytes))];
        let mut offset = self.offset + (first as u64).saturating_mul(element_bytes as u64);
        for values in values.chunks_mut((CHUNK_BYTES / element_bytes).max(1)) {
            let Some(bytes) = buffer.get_mut(..values.len() * element_bytes) else { break };
            self.file.read_exact_at(bytes, offset)?;
            offset += bytes.len() as u64;
            convert(self.element_type, bytes, values);
        }
        Ok(())
    }
}

fn convert(element_type: ElementType, bytes: &[u8], values: &mut [f32]) {
    match element_type {
        ElementType::F32 => {
            for (value, bytes) in values.iter_mut().zip(bytes.as_chunks().0) {
                *value = f32::from_le_bytes(*bytes);
            }
        }
        ElementType::F16 => {
            for (value, bytes) in values.iter_mut().zip(bytes.as_chunks().0) {
                *value = half::f16::from_le_bytes(*bytes).to_f32();
            }
        }
        ElementType::Bf16 => {
            for (value, bytes) in values.iter_mut().zip(bytes.as_chunks().0) {
                *value = half::bf16::from_le_bytes(*bytes).to_f32();
            }
        }
        ElementType::Other(_) => {}
    }
}

/// A model's weights: one file, or several with an index.
#[derive(Debug)]
pub(super) struct Checkpoint {
    folder: PathBuf,
    files: Vec<PathBuf>,
    tensors: BTreeMap<String, TensorLocation>,
}

impl Checkpoint {
    /// Opens `model.safetensors`, or what `model.safetensors.index.json` lists.
    pub(super) fn open(folder: &Path) -> Result<Self, LoadError> {
        let (single, index) = (folder.join("model.safetensors"), folder.join("model.safetensors.index.json"));
        let files = if single.exists() || !index.exists() { vec![single] } else { read_index(&index)? };
        let mut tensors = BTreeMap::new();
        for file in &files {
            for tensor in read_header(file)? {
                if let Some(twin) = tensors.insert(tensor.name.clone(), tensor) {
                    return Err(LoadError::tensor(file, twin.name.clone(), format!("is also in {}", twin.path.display())));
                }
            }
        }
        Ok(Self { folder: folder.to_owned(), files, tensors })
    }

    /// The files, in the order of their names.
    pub(super) fn files(&self) -> &[PathBuf] {
        &self.files
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// The tensor of this name, which must have this shape and be made of floats.
    pub(super) fn tensor(&self, name: &str, shape: &[usize]) -> Result<&TensorLocation, LoadError> {
        let Some(tensor) = self.tensors.get(name) else {
            return Err(LoadError::tensor(&self.folder, name, format!("is missing; it should have shape {shape:?}")));
        };
        if tensor.shape() != shape {
            let problem = format!("has shape {:?}, config.json demands {shape:?}", tensor.shape());
            return Err(LoadError::tensor(tensor.path(), name, problem));
        }
        if !tensor.is_float() {
            return Err(LoadError::tensor(tensor.path(), name, "must have elements of type F32, F16 or BF16"));
        }
        Ok(tensor)
    }
}

/// The files that an index lists. A name that leads out of the folder is refused.
fn read_index(path: &Path) -> Result<Vec<PathBuf>, LoadError> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    const MAX_FILES: usize = 1024;
    let text = read_limited(path, MAX_HEADER_BYTES)?;
    let index: Index = serde_json::from_slice(&text).map_err(|error| LoadError::format(path, error.to_string()))?;
    let names: std::collections::BTreeSet<String> = index.weight_map.into_values().collect();
    if names.is_empty() || names.len() > MAX_FILES {
        return Err(LoadError::format(path, format!("lists {} files; 1 to {MAX_FILES} are allowed", names.len())));
    }
    let folder = path.parent().unwrap_or(Path::new(""));
    let is_plain = |name: &str| Path::new(name).file_name().is_some_and(|file_name| file_name == name) && !name.contains('\\');
    match names.iter().find(|name| !is_plain(name)) {
        Some(name) => Err(LoadError::format(path, format!("{name:?} is not the name of a file in this folder"))),
        None => Ok(names.iter().map(|name| folder.join(name)).collect()),
    }
}

/// A whole file, refused where it is longer than `max_bytes`.
pub(super) fn read_limited(path: &Path, max_bytes: u64) -> Result<Vec<u8>, LoadError> {
    use std::io::Read;
    let unreadable = |source| LoadError::unreadable(path, source);
    let mut text = Vec::new();
    File::open(path).map_err(unreadable)?.take(max_bytes + 1).read_to_end(&mut text).map_err(unreadable)?;
    if text.len() as u64 > max_bytes {
        return Err(LoadError::format(path, format!("is over the limit of {max_bytes} bytes")));
    }
    Ok(text)
}
