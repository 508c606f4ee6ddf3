//! Ends a text where a stop string begins, also where one spans tokens.
//!
//! What may be the beginning of a stop string is held back until the text shows whether it is; everything before is handed out at once.
//! The result depends on the text alone, never on how it was cut into pieces: the stop string that is complete first wins.

use domain::StopStrings;

/// What a new piece of text amounts to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Released {
    /// Text that is certain now.
    pub text: String,
    /// Whether a stop string ended the text. Nothing follows.
    pub stopped: bool,
}

/// Watches one text for its stop strings.
#[derive(Debug)]
pub struct StopWatch {
    stops: Vec<String>,
    /// The end of the text so far, as far as it might be the beginning of a stop string: shorter than the longest of them.
    held: String,
}

impl StopWatch {
    /// Watches for these strings, a request's and a model's own.
    pub fn new(stops: &StopStrings, own: &[&str]) -> Self {
        let stops = stops.as_slice().iter().map(String::as_str).chain(own.iter().copied());
        Self { stops: stops.map(str::to_owned).collect(), held: String::new() }
    }

    /// Takes the next piece of text and gives what is certain.
    pub fn push(&mut self, piece: &str) -> Released {
        if self.stops.is_empty() {
            return Released { text: piece.to_owned(), stopped: false };
        }
        self.held.push_str(piece);
        if let Some(start) = self.first_match() {
            self.held.truncate(start);
            return Released { text: std::mem::take(&mut self.held), stopped: true };
        }
        let uncertain = self.stops.iter().map(|stop| longest_begun(&self.held, stop)).max().unwrap_or(0);
        let kept = self.held.split_off(self.held.len() - uncertain);
        Released { text: std::mem::replace(&mut self.held, kept), stopped: false }
    }

    /// The text ends for another reason: gives what was held back.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }

    /// Where the stop string begins that is complete first; of two complete at the same place, the longer.
    fn first_match(&self) -> Option<usize> {
        let matches = self.stops.iter().filter_map(|stop| self.held.find(stop.as_str()).map(|start| (start + stop.len(), start)));
        matches.min().map(|(_, start)| start)
    }
}

/// Length in bytes of the longest end of `text` with which `stop` begins, short of the whole of it.
fn longest_begun(text: &str, stop: &str) -> usize {
    let lengths = stop.char_indices().map(|(at, _)| at).rev();
    lengths.filter_map(|length| stop.get(..length)).find(|begun| text.ends_with(begun)).map_or(0, str::len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn watch(stops: &[&str]) -> StopWatch {
        let (requested, own) = stops.split_at(stops.len() / 2);
        StopWatch::new(&StopStrings::new(requested.iter().map(|s| (*s).to_owned()).collect()).unwrap(), own)
    }

    fn run(stops: &[&str], pieces: &[&str]) -> (String, bool) {
        let mut watch = watch(stops);
        let mut text = String::new();
        for piece in pieces {
            let released = watch.push(piece);
            text.push_str(&released.text);
            if released.stopped {
                return (text, true);
            }
        }
        text.push_str(&watch.finish());
        (text, false)
    }

    #[test]
    fn a_stop_string_that_spans_tokens_is_cut_whole() {
        assert_eq!(run(&["\n\nThe end"], &["once", "\n", "\nThe", " en", "d."]), ("once".to_owned(), true));
    }

    #[test]
    fn what_only_looked_like_a_stop_string_is_given_back() {
        let mut watch = watch(&["END"]);
        assert_eq!(watch.push("the EN"), Released { text: "the ".into(), stopped: false });
        assert_eq!(watch.push("T"), Released { text: "ENT".into(), stopped: false });
        assert_eq!(run(&["END"], &["EN"]), ("EN".to_owned(), false));
    }

    #[test]
    fn a_stop_string_that_begins_inside_its_own_beginning_is_found() {
        assert_eq!(run(&["aab"], &["a", "a", "a", "b"]), ("a".to_owned(), true));
    }

    #[test]
    fn without_stop_strings_nothing_is_held_back() {
        assert_eq!(watch(&[]).push("x").text, "x");
    }

    proptest! {
        #[test]
        fn how_a_text_is_cut_into_pieces_changes_nothing(
            text in "[abé]{0,30}",
            stops in prop::collection::vec("[abé]{1,4}", 0..4),
            cuts in prop::collection::vec(0usize..30, 0..8),
        ) {
            let stops: Vec<&str> = stops.iter().map(String::as_str).collect();
            let characters: Vec<char> = text.chars().collect();
            let mut bounds: Vec<usize> = cuts.into_iter().map(|cut| cut.min(characters.len())).chain([0, characters.len()]).collect();
            bounds.sort_unstable();
            let pieces: Vec<String> = bounds.windows(2).map(|pair| characters[pair[0]..pair[1]].iter().collect()).collect();
            let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
            let in_pieces = run(&stops, &pieces);
            prop_assert_eq!(&in_pieces, &run(&stops, &[&text]));
            prop_assert!(stops.iter().all(|stop| !in_pieces.0.contains(stop)));
            prop_assert!(text.starts_with(&in_pieces.0));
        }
    }
}
