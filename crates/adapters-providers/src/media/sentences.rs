//! A long text in pieces that can be spoken one by one.

/// Cuts a text into pieces of at most so many characters: after a sentence where one ends, else after a comma or the like, else between
/// two words, and only where there is no such place inside a word. Nothing but white space is lost.
pub(super) fn pieces(text: &str, limit: usize) -> Vec<String> {
    let mut pieces = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let end = rest.char_indices().nth(limit).map_or(rest.len(), |(end, _)| end);
        let (window, _) = rest.split_at(end);
        let cut = if end == rest.len() { end } else { cut(window) };
        let (piece, after) = rest.split_at(cut);
        let piece = piece.split_whitespace().collect::<Vec<_>>().join(" ");
        if !piece.is_empty() {
            pieces.push(piece);
        }
        rest = after.trim_start();
    }
    pieces
}

/// Where to end a piece that must end within this window: never at its very beginning.
fn cut(window: &str) -> usize {
    let ends = |marks: &[char]| window.rmatch_indices(marks).map(|(at, mark)| at + mark.len()).find(|end| *end > 0);
    ends(&['.', '!', '?', '…', '\n', '。', '！', '？', '।'])
        .or_else(|| ends(&[',', ';', ':', '—', '、', '，', '；', '：']))
        .or_else(|| window.char_indices().rev().find(|(at, c)| *at > 0 && c.is_whitespace()).map(|(at, _)| at))
        .unwrap_or(window.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_text_is_cut_after_sentences_then_commas_then_words_then_anywhere() {
        assert_eq!(pieces("One. Two! Three?", 10), ["One. Two!", "Three?"]);
        assert_eq!(pieces("one two, three four", 12), ["one two,", "three four"]);
        assert_eq!(pieces("one two three", 8), ["one two", "three"]);
        assert_eq!(pieces("aaaaaaaaaa", 4), ["aaaa", "aaaa", "aa"]);
        assert_eq!(pieces("从前有一个国王。他有三个女儿。", 8), ["从前有一个国王。", "他有三个女儿。"]);
        assert_eq!(pieces(" \n ", 5), Vec::<String>::new());
        assert_eq!(pieces("short", 100), ["short"]);
    }

    proptest! {
        #[test]
        fn no_piece_is_too_long_and_no_word_is_lost(text in "[a-zé。., \n]{0,300}", limit in 1..50_usize) {
            let pieces = pieces(&text, limit);
            prop_assert!(pieces.iter().all(|piece| (1..=limit).contains(&piece.chars().count())));
            let bare = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
            prop_assert_eq!(bare(&pieces.concat()), bare(&text));
        }
    }
}
