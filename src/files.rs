//! Files that an operator names, or that earlier runs left. They are read whole, and so none that is larger than any of its kind: a wrong name, or a
//! device, must not fill the memory.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// The largest file of the configuration, keys, certificates and user data included.
pub(crate) const LARGEST_SETTING: u64 = 4 << 20;
/// The largest plan: some hundred bytes for each of its actions.
pub(crate) const LARGEST_PLAN: u64 = 64 << 20;

/// The largest of this host's memories: some hundred bytes for each record or offering.
pub(crate) const LARGEST_MEMORY: u64 = 16 << 20;

/// Reads a file of at most so many bytes.
pub(crate) fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    // One byte more tells a file that is as large as may be from one that is larger.
    File::open(path)?.take(most + 1).read_to_end(&mut content)?;
    if content.len() as u64 > most {
        let what = format!("it is larger than the {} MiB that are read", most >> 20);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, what));
    }
    Ok(content)
}

/// The same, of a text.
pub(crate) fn read_text(path: &Path, most: u64) -> io::Result<String> {
    String::from_utf8(read(path, most)?)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "stream did not contain valid UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_up_to_its_bound_and_not_beyond() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("file");
        std::fs::write(&file, "four").unwrap();
        assert_eq!(read_text(&file, 4).unwrap(), "four");
        assert_eq!(read(&file, 3).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(read(Path::new("/dev/zero"), 1 << 20).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        std::fs::write(&file, b"\xff").unwrap();
        assert_eq!(read_text(&file, 4).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
