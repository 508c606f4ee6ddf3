//! The objects below a folder, in the order of their names, as S3 lists them.

use std::io;
use std::path::{Path, PathBuf};

use domain::ObjectKey;
use ports::ObjectInfo;

use super::info;

/// At most `limit` objects whose names come after `after`. What is no object (an upload, a symbolic link, a name of somebody else's
/// making) is passed over. A folder that is not there holds none.
pub(super) fn objects(path: &Path, folder: &ObjectKey, after: Option<&ObjectKey>, limit: usize) -> io::Result<Vec<ObjectInfo>> {
    let after = after.map_or("", ObjectKey::as_str);
    let mut found = Vec::new();
    // The next one is the last.
    let mut waiting = vec![Entry { name: format!("{folder}/"), path: path.to_owned() }];
    while let Some(entry) = waiting.pop() {
        if found.len() == limit {
            break;
        }
        if let Some(folder) = entry.name.strip_suffix('/') {
            if entry.may_hold_after(after) {
                waiting.extend(entries(&entry.path, folder)?);
            }
        } else if entry.name.as_str() > after
            && let Ok(key) = ObjectKey::parse(entry.name)
            && let Ok(metadata) = std::fs::symlink_metadata(&entry.path)
        {
            found.push(info(key, &metadata));
        }
    }
    Ok(found)
}

/// A file, or a folder, whose name then ends in `/`: so that sorting names sorts what is below them too (`a-b/c` before `a/c`).
struct Entry {
    name: String,
    path: PathBuf,
}

impl Entry {
    /// Whether a name that begins with this folder's can come after that one.
    fn may_hold_after(&self, after: &str) -> bool {
        self.name.as_str() > after || after.starts_with(&self.name)
    }
}

/// What lies in a folder, the last name first.
fn entries(path: &Path, folder: &str) -> io::Result<Vec<Entry>> {
    let listed = match std::fs::read_dir(path) {
        Ok(listed) => listed,
        Err(error) if super::is_missing(&error) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut entries = Vec::new();
    for entry in listed {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        if name.starts_with('.') {
            continue;
        }
        let end = match entry.file_type() {
            Ok(kind) if kind.is_dir() => "/",
            Ok(kind) if kind.is_file() => "",
            _ => continue,
        };
        entries.push(Entry { name: format!("{folder}/{name}{end}"), path: entry.path() });
    }
    entries.sort_by(|a, b| b.name.cmp(&a.name));
    Ok(entries)
}
