//! Streams cut into lines, wherever the packets were cut.

/// The next line cannot be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// It goes on and on.
    #[error("a line has more than {0} bytes")]
    TooLong(usize),
    /// It is not text.
    #[error("a line is not UTF-8")]
    NotUtf8,
}

/// Gathers bytes and gives lines; after one that is too long, none. A line ends with LF, CR or CRLF, as the SSE standard says; JSON holds neither inside a value.
#[derive(Debug)]
pub struct LineSplitter {
    gathered: Vec<u8>,
    /// Where the search for an end goes on, so that a line that comes byte by byte is searched once.
    searched: usize,
    /// The last line ended with CR: an LF that follows belongs to it.
    after_carriage_return: bool,
    max_line_bytes: usize,
    /// A line was too long: what follows it would be a guess.
    given_up: bool,
}

impl LineSplitter {
    /// Gives lines of up to so many bytes.
    pub const fn new(max_line_bytes: usize) -> Self {
        Self { gathered: Vec::new(), searched: 0, after_carriage_return: false, max_line_bytes, given_up: false }
    }

    /// Takes more bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.given_up {
            return;
        }
        let mut bytes = bytes;
        if self.after_carriage_return && self.gathered.is_empty() && !bytes.is_empty() {
            self.after_carriage_return = false;
            bytes = bytes.strip_prefix(b"\n").unwrap_or(bytes);
        }
        self.gathered.extend_from_slice(bytes);
    }

    /// The next whole line, without its end; `None` until more bytes come.
    pub fn next_line(&mut self) -> Option<Result<String, LineError>> {
        let unsearched = self.gathered.get(self.searched..).unwrap_or_default();
        let Some(offset) = unsearched.iter().position(|byte| matches!(byte, b'\n' | b'\r')) else {
            self.searched = self.gathered.len();
            return (self.gathered.len() > self.max_line_bytes).then(|| Err(self.give_up()));
        };
        let length = self.searched + offset;
        if length > self.max_line_bytes {
            return Some(Err(self.give_up()));
        }
        let end = self.gathered.get(length..).unwrap_or_default();
        let ends_with_cr = end.first() == Some(&b'\r');
        let end_bytes = if end.starts_with(b"\r\n") { 2 } else { 1 };
        self.after_carriage_return = ends_with_cr && end.len() == 1;
        let rest = self.gathered.split_off(length + end_bytes);
        let mut line = std::mem::replace(&mut self.gathered, rest);
        line.truncate(length);
        self.searched = 0;
        Some(String::from_utf8(line).map_err(|_| LineError::NotUtf8))
    }

    /// What is left when the stream has ended: a last line that nothing ended, if there is one.
    pub fn finish(&mut self) -> Option<Result<String, LineError>> {
        self.searched = 0;
        let line = std::mem::take(&mut self.gathered);
        (!line.is_empty()).then(|| String::from_utf8(line).map_err(|_| LineError::NotUtf8))
    }

    /// Keeps nothing.
    fn give_up(&mut self) -> LineError {
        self.given_up = true;
        self.gathered = Vec::new();
        self.searched = 0;
        LineError::TooLong(self.max_line_bytes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines(packets: &[&[u8]]) -> Vec<Result<String, LineError>> {
        let mut splitter = LineSplitter::new(16);
        let mut lines = Vec::new();
        for packet in packets {
            splitter.push(packet);
            while let Some(line) = splitter.next_line() {
                lines.push(line);
            }
        }
        lines.extend(splitter.finish());
        lines
    }

    #[test]
    fn a_line_ends_with_any_of_the_three_ends() {
        let whole = lines(&[b"a\nb\r\nc\rd\n\ne"]);
        assert_eq!(whole, ["a", "b", "c", "d", "", "e"].map(|line| Ok(line.to_owned())));
    }

    #[test]
    fn an_end_that_is_cut_in_two_is_one_end() {
        assert_eq!(lines(&[b"a\r", b"\nb\n"]), [Ok("a".to_owned()), Ok("b".to_owned())]);
        assert_eq!(lines(&[b"a\r", b"b\r", b"\n"]), [Ok("a".to_owned()), Ok("b".to_owned())]);
    }

    #[test]
    fn a_line_without_end_is_not_gathered_without_end() {
        assert_eq!(lines(&[b"0123456789", b"0123456789"]), [Err(LineError::TooLong(16))]);
        assert_eq!(lines(&[b"01234567890123456789\n"]).first(), Some(&Err(LineError::TooLong(16))));
    }

    #[test]
    fn what_is_not_utf8_is_noticed() {
        assert_eq!(lines(&[b"\xff\xfe\n"]), [Err(LineError::NotUtf8)]);
    }

    proptest! {
        #[test]
        fn wherever_the_packets_are_cut_the_lines_are_the_same(text in "[aé€\r\n]{0,40}", cuts in prop::collection::vec(0usize..120, 0..6)) {
            let bytes = text.as_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let packets: Vec<&[u8]> = cuts.windows(2).map(|ends| &bytes[ends[0]..ends[1]]).collect();
            prop_assert_eq!(lines(&packets), lines(&[bytes]));
        }
    }
}
