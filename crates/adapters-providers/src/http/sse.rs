//! Server-sent events, taken from a stream of bytes (<https://html.spec.whatwg.org/multipage/server-sent-events.html>, section 9.2.6).

use super::lines::{LineError, LineSplitter};

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SseEvent {
    /// Its name; empty for a plain message.
    pub name: String,
    /// Its data; lines are joined by LF.
    pub data: String,
}

/// Gathers bytes and gives events.
#[derive(Debug)]
pub struct SseParser {
    lines: LineSplitter,
    max_event_bytes: usize,
    event: SseEvent,
    has_data: bool,
    /// A byte order mark may precede the first line.
    begun: bool,
}

impl SseParser {
    /// Gives events whose data has up to so many bytes, in lines of no more than that.
    pub const fn new(max_event_bytes: usize) -> Self {
        Self {
            // The field's name comes before the data.
            lines: LineSplitter::new(max_event_bytes + 16),
            max_event_bytes,
            event: SseEvent { name: String::new(), data: String::new() },
            has_data: false,
            begun: false,
        }
    }

    /// Takes more bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.lines.push(bytes);
    }

    /// The next whole event; `None` until more bytes come.
    pub fn next_event(&mut self) -> Option<Result<SseEvent, LineError>> {
        while let Some(line) = self.lines.next_line() {
            match line.and_then(|line| self.take_line(&line)) {
                Ok(Some(event)) => return Some(Ok(event)),
                Ok(None) => {}
                Err(problem) => return Some(Err(problem)),
            }
        }
        None
    }

    /// What is left when the stream has ended. The standard drops an event that no empty line ends; some servers forget that line.
    pub fn finish(&mut self) -> Option<Result<SseEvent, LineError>> {
        if let Some(line) = self.lines.finish()
            && let Err(problem) = line.and_then(|line| self.take_line(&line))
        {
            return Some(Err(problem));
        }
        self.take_event().map(Ok)
    }

    fn take_line(&mut self, line: &str) -> Result<Option<SseEvent>, LineError> {
        let line = if self.begun { line } else { line.trim_start_matches('\u{feff}') };
        self.begun = true;
        if line.is_empty() {
            return Ok(self.take_event());
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.event.name),
            "data" => self.add_data(value)?,
            // llama.cpp tells a failure midway in a field of this name (`tools/server`), without data.
            "error" => {
                "error".clone_into(&mut self.event.name);
                self.add_data(value)?;
            }
            // Comments (no name), `id`, `retry`, and what the standard does not know.
            _ => {}
        }
        Ok(None)
    }

    fn add_data(&mut self, value: &str) -> Result<(), LineError> {
        if self.event.data.len() + value.len() >= self.max_event_bytes {
            return Err(LineError::TooLong(self.max_event_bytes));
        }
        if self.has_data {
            self.event.data.push('\n');
        }
        self.event.data.push_str(value);
        self.has_data = true;
        Ok(())
    }

    fn take_event(&mut self) -> Option<SseEvent> {
        let event = std::mem::take(&mut self.event);
        std::mem::take(&mut self.has_data).then_some(event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(packets: &[&[u8]]) -> Vec<Result<(String, String), LineError>> {
        let mut parser = SseParser::new(64);
        let mut events = Vec::new();
        for packet in packets {
            parser.push(packet);
            while let Some(event) = parser.next_event() {
                events.push(event);
            }
        }
        events.extend(parser.finish());
        events.into_iter().map(|event| event.map(|event| (event.name, event.data))).collect()
    }

    fn named(name: &str, data: &str) -> (String, String) {
        (name.to_owned(), data.to_owned())
    }

    #[test]
    fn events_are_found_in_one_packet_and_in_many() {
        let whole: &[u8] = "data: é\n\ndata: b\r\n\r\n: a comment\n\nevent: ping\ndata:c\ndata: d\n\n".as_bytes();
        let expected = [Ok(named("", "é")), Ok(named("", "b")), Ok(named("ping", "c\nd"))];
        assert_eq!(events(&[whole]), expected);
        let bytes: Vec<&[u8]> = whole.chunks(1).collect();
        assert_eq!(events(&bytes), expected);
    }

    #[test]
    fn what_says_nothing_is_no_event_and_a_last_one_needs_no_empty_line() {
        assert_eq!(events(&[b"\n\n:\n\nid: 7\nretry: 10\n\n"]), []);
        assert_eq!(events(&["\u{feff}data: a\n\ndata: b".as_bytes()]), [Ok(named("", "a")), Ok(named("", "b"))]);
        assert_eq!(events(&[b"data\n\n"]), [Ok(named("", ""))]);
    }

    #[test]
    fn a_failure_in_a_field_of_its_own_is_an_event() {
        assert_eq!(events(&[b"error: {\"code\":500}\n\n"]), [Ok(named("error", "{\"code\":500}"))]);
    }

    #[test]
    fn an_event_without_end_is_not_gathered_without_end() {
        let line = [b"data: 0123456789012345678901234567890123456789\n".as_slice(); 2];
        assert_eq!(
            events(&line),
            [Err(LineError::TooLong(64))].into_iter().chain([events(&line)[1].clone()]).collect::<Vec<_>>()
        );
        assert!(matches!(events(&[&[b'x'; 200]]).first(), Some(Err(LineError::TooLong(_)))));
    }
}
