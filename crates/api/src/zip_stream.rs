//! Writing a ZIP archive as it is sent, a piece at a time, without knowing any size beforehand (APPNOTE.TXT 6.3.10, sections 4.3 and 4.4).
//!
//! Each file is deflated, and its sizes and checksum follow it in a data descriptor. An archive holds what one user owns; beyond 4 GiB it
//! would need the ZIP64 form, which is refused here instead.

use std::io::{self, Write as _};

use actix_web::web::Bytes;
use flate2::write::DeflateEncoder;
use flate2::{Compression, Crc};

const LOCAL_HEADER: u32 = 0x0403_4b50;
const DATA_DESCRIPTOR: u32 = 0x0807_4b50;
const CENTRAL_HEADER: u32 = 0x0201_4b50;
const END_OF_CENTRAL_DIRECTORY: u32 = 0x0605_4b50;
/// Version 2.0: deflate.
const VERSION: u16 = 20;
/// Bit 3: sizes follow the data; bit 11: names are UTF-8.
const FLAGS: u16 = 1 << 3 | 1 << 11;
const DEFLATED: u16 = 8;
/// 1 January 1980, the first day that the format knows: what counts are the times inside the records.
const DOS_DATE: u16 = 1 << 5 | 1;

/// An archive on its way out.
#[derive(Default)]
pub(crate) struct ZipStream {
    /// What was written and not yet taken.
    pending: Vec<u8>,
    /// Bytes taken so far.
    taken: u64,
    finished: Vec<FileRecord>,
    open: Option<OpenFile>,
}

struct OpenFile {
    name: String,
    offset: u64,
    encoder: DeflateEncoder<Vec<u8>>,
    checksum: Crc,
    uncompressed: u64,
    compressed: u64,
}

struct FileRecord {
    name: String,
    offset: u32,
    checksum: u32,
    compressed: u32,
    uncompressed: u32,
}

impl ZipStream {
    /// Begins a file; the one before it ends.
    pub(crate) fn begin(&mut self, name: impl Into<String>) -> io::Result<()> {
        let name = name.into();
        self.end_file()?;
        let offset = self.position();
        self.long(LOCAL_HEADER);
        for field in [VERSION, FLAGS, DEFLATED, 0, DOS_DATE] {
            self.short(field);
        }
        // Checksum and sizes stand in the data descriptor.
        for _ in 0..3 {
            self.long(0);
        }
        self.short(length(&name)?);
        self.short(0);
        self.pending.extend_from_slice(name.as_bytes());
        let encoder = DeflateEncoder::new(Vec::new(), Compression::default());
        self.open = Some(OpenFile { name, offset, encoder, checksum: Crc::new(), uncompressed: 0, compressed: 0 });
        Ok(())
    }

    /// Adds to the file that was begun.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(file) = &mut self.open else { return Err(io::Error::other("no file was begun")) };
        file.encoder.write_all(bytes)?;
        file.checksum.update(bytes);
        file.uncompressed += bytes.len() as u64;
        let compressed = std::mem::take(file.encoder.get_mut());
        file.compressed += compressed.len() as u64;
        self.pending.extend_from_slice(&compressed);
        Ok(())
    }

    /// Ends the archive: nothing can be added to it any more.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        self.end_file()?;
        let start = self.position();
        let files = std::mem::take(&mut self.finished);
        for file in &files {
            self.central_header(file)?;
        }
        let size = self.position() - start;
        let count = u16::try_from(files.len()).map_err(io::Error::other)?;
        self.long(END_OF_CENTRAL_DIRECTORY);
        for field in [0, 0, count, count] {
            self.short(field);
        }
        self.long(four_bytes(size)?);
        self.long(four_bytes(start)?);
        self.short(0);
        Ok(())
    }

    /// What was written since it was last asked.
    pub(crate) fn take(&mut self) -> Bytes {
        self.taken += self.pending.len() as u64;
        Bytes::from(std::mem::take(&mut self.pending))
    }

    fn end_file(&mut self) -> io::Result<()> {
        let Some(mut file) = self.open.take() else { return Ok(()) };
        file.encoder.try_finish()?;
        let compressed = std::mem::take(file.encoder.get_mut());
        file.compressed += compressed.len() as u64;
        self.pending.extend_from_slice(&compressed);
        let record = FileRecord {
            name: file.name,
            offset: four_bytes(file.offset)?,
            checksum: file.checksum.sum(),
            compressed: four_bytes(file.compressed)?,
            uncompressed: four_bytes(file.uncompressed)?,
        };
        for field in [DATA_DESCRIPTOR, record.checksum, record.compressed, record.uncompressed] {
            self.long(field);
        }
        self.finished.push(record);
        Ok(())
    }

    fn central_header(&mut self, file: &FileRecord) -> io::Result<()> {
        self.long(CENTRAL_HEADER);
        for field in [VERSION, VERSION, FLAGS, DEFLATED, 0, DOS_DATE] {
            self.short(field);
        }
        for field in [file.checksum, file.compressed, file.uncompressed] {
            self.long(field);
        }
        self.short(length(&file.name)?);
        // No extra field, no comment, the first disk, no attributes.
        for _ in 0..4 {
            self.short(0);
        }
        self.long(0);
        self.long(file.offset);
        self.pending.extend_from_slice(file.name.as_bytes());
        Ok(())
    }

    fn position(&self) -> u64 {
        self.taken + self.pending.len() as u64
    }

    fn short(&mut self, value: u16) {
        self.pending.extend_from_slice(&value.to_le_bytes());
    }

    fn long(&mut self, value: u32) {
        self.pending.extend_from_slice(&value.to_le_bytes());
    }
}

fn length(name: &str) -> io::Result<u16> {
    u16::try_from(name.len()).map_err(io::Error::other)
}

fn four_bytes(value: u64) -> io::Result<u32> {
    u32::try_from(value).map_err(|_| io::Error::other("the archive would be larger than 4 GiB"))
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::process::Command;

    use super::*;

    #[test]
    fn another_program_reads_what_was_streamed() {
        let mut zip = ZipStream::default();
        let mut sent = Vec::new();
        let long = "Once upon a time there was a dragon.\n".repeat(5_000);
        zip.begin("empty.txt").unwrap();
        zip.begin("señal.txt").unwrap();
        for piece in long.as_bytes().chunks(777) {
            zip.write(piece).unwrap();
            sent.extend_from_slice(&zip.take());
        }
        zip.finish().unwrap();
        sent.extend_from_slice(&zip.take());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("archive.zip");
        std::fs::write(&path, &sent).unwrap();
        let script =
            "import sys, zipfile; z = zipfile.ZipFile(sys.argv[1]); assert z.testzip() is None; z.extractall(sys.argv[2])";
        let status = Command::new("python3").args(["-c", script]).arg(&path).arg(folder.path()).status().unwrap();
        assert!(status.success());
        let mut read = String::new();
        std::fs::File::open(folder.path().join("señal.txt")).unwrap().read_to_string(&mut read).unwrap();
        assert_eq!(read, long);
        assert_eq!(std::fs::read(folder.path().join("empty.txt")).unwrap(), b"");
        assert!(sent.len() < long.len() / 10, "it is compressed");
    }

    #[test]
    fn what_belongs_to_no_file_is_refused() {
        assert!(ZipStream::default().write(b"x").is_err());
    }
}
