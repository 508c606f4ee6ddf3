//! Any text, also one with U+0000, which PostgreSQL's `TEXT` cannot hold and a prompt or a model may well contain.
//!
//! U+0010 (DLE, whose name is "data link escape") escapes: NUL is kept as DLE 0 and DLE as DLE DLE. Every other text is kept as it is,
//! so it can be read and searched in the database. Both databases keep the same, so that a copy of one serves the other.

const ESCAPE: char = '\u{10}';
const ESCAPED_NUL: char = '0';

/// A text as it is kept.
pub(crate) fn to_kept_text(text: String) -> String {
    if !text.contains(['\0', ESCAPE]) {
        return text;
    }
    let mut kept = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        match character {
            '\0' => kept.extend([ESCAPE, ESCAPED_NUL]),
            ESCAPE => kept.extend([ESCAPE, ESCAPE]),
            other => kept.push(other),
        }
    }
    kept
}

/// A kept text as it was; `None` for what [`to_kept_text`] cannot have written.
pub(crate) fn from_kept_text(kept: String) -> Option<String> {
    if !kept.contains(ESCAPE) {
        return Some(kept);
    }
    let mut text = String::with_capacity(kept.len());
    let mut characters = kept.chars();
    while let Some(character) = characters.next() {
        match character {
            ESCAPE => match characters.next()? {
                ESCAPED_NUL => text.push('\0'),
                ESCAPE => text.push(ESCAPE),
                _ => return None,
            },
            other => text.push(other),
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_text_comes_back_and_none_is_kept_with_a_nul(text in "[\\x00\\x10-\\x110a-z\\PC]{0,40}") {
            let kept = to_kept_text(text.clone());
            prop_assert!(!kept.contains('\0'));
            prop_assert_eq!(from_kept_text(kept), Some(text));
        }
    }

    #[test]
    fn an_ordinary_text_is_kept_as_it_is() {
        assert_eq!(to_kept_text("Había una vez\n🐉".into()), "Había una vez\n🐉");
    }

    #[test]
    fn a_text_that_was_never_kept_here_is_not_guessed_at() {
        assert_eq!(from_kept_text("\u{10}x".into()), None);
        assert_eq!(from_kept_text("end\u{10}".into()), None);
    }
}
