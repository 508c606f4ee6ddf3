//! Reads files in the safetensors format, which come from strangers: every number in the header is checked before it is used.
//!
//! A file is an 8-byte little-endian length, a JSON header of that length, and the tensors' bytes
//! (<https://github.com/huggingface/safetensors#format>). Tensors are read with positioned reads rather than through a mapping: a file
//! that is cut short underneath a mapping kills the process, while a read merely fails, and pages that are read do not count as ours.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use half::slice::HalfFloatSliceExt;
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
    if filled == data_bytes {
        Ok(entries)
    } else {
        Err(format!("{data_bytes} bytes follow the header, its tensors have {filled}"))
    }
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
    let shape =
        raw.shape.iter().map(|&length| usize::try_from(length)).collect::<Result<_, _>>().map_err(|error| error.to_string())?;
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

    /// How many elements it has.
    pub(super) fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// Reads `bytes.len()` elements, which must be of 8 bits, from the element `first` on, as they lie.
    pub(super) fn read_bytes(&self, first: usize, bytes: &mut [u8]) -> io::Result<()> {
        if self.element_type != ElementType::Other(8) || first.saturating_add(bytes.len()) > self.elements() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it has not so many elements of 8 bits"));
        }
        self.file.read_exact_at(bytes, self.offset + first as u64)
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
            // The processor's own conversion is asked for once a slice, not once a number.
            const LANES: usize = 64;
            for (values, bytes) in values.chunks_mut(LANES).zip(bytes.chunks(2 * LANES)) {
                let mut halves = [half::f16::ZERO; LANES];
                for (half, bytes) in halves.iter_mut().zip(bytes.as_chunks().0) {
                    *half = half::f16::from_le_bytes(*bytes);
                }
                if let Some(halves) = halves.get(..values.len()) {
                    halves.convert_to_f32_slice(values);
                }
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A file with this header and this many bytes behind it.
    fn file(header: &str, data_bytes: usize) -> Vec<u8> {
        [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &vec![1; data_bytes]].concat()
    }

    fn valid() -> Vec<u8> {
        let header = r#"{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},
            "b":{"dtype":"BF16","shape":[5],"data_offsets":[24,34]},"mask":{"dtype":"BOOL","shape":[1,2],"data_offsets":[34,36]}}"#;
        file(header, 36)
    }

    fn read_bytes(bytes: &[u8]) -> Result<Vec<TensorLocation>, LoadError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        std::fs::write(&path, bytes).unwrap();
        read_header(&path)
    }

    fn problem(bytes: &[u8]) -> String {
        read_bytes(bytes).expect_err("it is refused").to_string()
    }

    #[test]
    fn a_valid_file_gives_its_tensors_as_floats() {
        let tensors = read_bytes(&valid()).unwrap();
        let shapes: Vec<_> = tensors.iter().map(|tensor| (tensor.name(), tensor.shape().to_vec(), tensor.is_float())).collect();
        assert_eq!(shapes, [("a", vec![2, 3], true), ("b", vec![5], true), ("mask", vec![1, 2], false)]);
        let mut values = [0.0; 2];
        tensors[1].read(3, &mut values).unwrap();
        assert_eq!(values.map(f32::to_bits), [half::bf16::from_le_bytes([1, 1]).to_f32().to_bits(); 2]);
    }

    #[test]
    fn half_floats_read_as_the_floats_they_stand_for() {
        let mut bytes = file(r#"{"h":{"dtype":"F16","shape":[2],"data_offsets":[0,4]}}"#, 0);
        bytes.extend([half::f16::from_f32(1.5), half::f16::from_f32(-0.25)].into_iter().flat_map(half::f16::to_le_bytes));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        std::fs::write(&path, bytes).unwrap();
        let mut values = [0.0; 2];
        read_header(&path).unwrap()[0].read(0, &mut values).unwrap();
        assert_eq!(values.map(f32::to_bits), [1.5, -0.25].map(f32::to_bits));
    }

    #[test]
    fn a_refusal_names_the_file_the_tensor_and_the_reason() {
        let entry = |entry: &str| file(&format!(r#"{{"w":{entry}}}"#), 8);
        let cases = [
            (entry(r#"{"dtype":"F32","shape":[3],"data_offsets":[0,8]}"#), "shape [3] of F32 does not take 8 bytes"),
            (entry(r#"{"dtype":"F32","shape":[2],"data_offsets":[8,0]}"#), "bytes 8..0 do not lie within the 8 bytes"),
            (entry(r#"{"dtype":"F32","shape":[4],"data_offsets":[0,16]}"#), "bytes 0..16 do not lie within the 8 bytes"),
            (entry(r#"{"dtype":"F33","shape":[2],"data_offsets":[0,8]}"#), "unknown type \"F33\""),
            (entry(r#"{"dtype":"F32","shape":[4294967296,4294967296,2],"data_offsets":[0,8]}"#), "does not take 8 bytes"),
            (entry(r#"{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}"#), "invalid value"),
            (entry(r#"{"dtype":"F32","shape":[1],"data_offsets":[4,8]}"#), "begins at byte 4, the one before ends at 0"),
            (entry(r#"{"dtype":"F32","shape":[1],"data_offsets":[0,4]}"#), "8 bytes follow the header, its tensors have 4"),
            (u64::MAX.to_le_bytes().to_vec(), "is over the limit"),
            (100_u64.to_le_bytes().to_vec(), "it ends within its header"),
            (vec![1, 2], "it is too short to have a header"),
            (file("[1]", 0), "is not a JSON object"),
        ];
        for (bytes, expected) in cases {
            let problem = problem(&bytes);
            assert!(problem.contains(expected) && problem.contains("model.safetensors"), "{problem:?} does not say {expected:?}");
        }
    }

    #[test]
    fn tensors_that_share_bytes_are_refused() {
        let header =
            r#"{"a":{"dtype":"U8","shape":[6],"data_offsets":[0,6]},"b":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}}"#;
        assert!(problem(&file(header, 8)).contains("tensor b: begins at byte 4, the one before ends at 6"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn no_cut_or_changed_file_reads_outside_itself(cut in 0_usize..400, place in 0_usize..400, byte: u8, length: Option<u64>) {
            let mut bytes = valid();
            if let Some(length) = length {
                bytes[..8].copy_from_slice(&length.to_le_bytes());
            }
            let place = place % bytes.len();
            bytes[place] = byte;
            bytes.truncate(cut.max(1));
            for tensor in read_bytes(&bytes).unwrap_or_default() {
                let elements: usize = tensor.shape().iter().product();
                let end = tensor.offset + elements as u64 * tensor.element_type.bits() / 8;
                prop_assert!(end <= bytes.len() as u64);
            }
        }

        #[test]
        fn no_header_of_random_entries_is_accepted_beyond_its_data(begin: u64, end: u64, shape in proptest::collection::vec(any::<u64>(), 0..4), data in 0_u64..64) {
            let header = serde_json::json!({ "w": { "dtype": "F32", "shape": shape, "data_offsets": [begin, end] } });
            if let Ok(entries) = parse_header(header.to_string().as_bytes(), data) {
                prop_assert!(entries.iter().all(|entry| entry.begin <= entry.end && entry.end <= data));
            }
        }
    }
}
