//! The voices of `espeak-ng`, as `espeak-ng --voices` lists them.
//!
//! ```text
//! Pty Language       Age/Gender VoiceName          File                 Other Languages
//!  5  cmn             --/M      Chinese_(Mandarin,_latin_as_English) sit/cmn              (zh-cmn 5)(zh 5)
//!  2  en-gb           --/M      English_(Great_Britain) gmw/en           (en 2)
//! ```

use std::collections::BTreeMap;

use domain::VoiceName;
use ports::Voice;

/// Every name by which a voice can be asked for.
#[derive(Debug, Default)]
pub(crate) struct Voices {
    by_name: BTreeMap<VoiceName, Entry>,
}

#[derive(Debug, Clone)]
struct Entry {
    /// What the program knows it by; out of its own list, never out of a request.
    argument: String,
    description: String,
    /// Where several voices share a name, the lowest one speaks.
    rank: u32,
}

/// Names of the contract that the program does not know.
const ALIASES: [(&str, &str); 1] = [("zh-CN", "cmn")];

impl Voices {
    /// Reads the program's list. Lines that do not look like a voice are passed over.
    pub(crate) fn parse(list: &str) -> Self {
        let mut voices = Self::default();
        for line in list.lines().skip(1) {
            voices.read_line(line);
        }
        for (alias, name) in ALIASES {
            let entry = VoiceName::new(name).ok().and_then(|name| voices.by_name.get(&name).cloned());
            if let Some(entry) = entry {
                voices.add(alias, entry);
            }
        }
        voices
    }

    fn read_line(&mut self, line: &str) {
        let mut columns = line.split_whitespace();
        let (Some(priority), Some(language), Some(_), Some(name), Some(file)) =
            (columns.next(), columns.next(), columns.next(), columns.next(), columns.next())
        else {
            return;
        };
        // Voices of MBROLA need data that is not part of the program.
        if file.starts_with("mb/") {
            return;
        }
        let description = name.replace('_', " ");
        let rank = priority.parse().unwrap_or(u32::MAX);
        self.add(language, Entry { argument: language.to_owned(), description: description.clone(), rank });
        let others = columns.collect::<Vec<_>>().join(" ");
        for other in others.split(['(', ')']).filter(|other| !other.trim().is_empty()) {
            let mut words = other.split_whitespace();
            let (Some(other), Some(rank)) = (words.next(), words.next().and_then(|rank| rank.parse::<u32>().ok())) else {
                continue;
            };
            // A voice's own language comes before one that it only can speak too.
            let rank = rank.saturating_add(1000);
            self.add(other, Entry { argument: language.to_owned(), description: description.clone(), rank });
        }
    }

    fn add(&mut self, name: &str, entry: Entry) {
        let Ok(name) = VoiceName::new(name) else { return };
        let known = self.by_name.entry(name).or_insert_with(|| entry.clone());
        if entry.rank < known.rank {
            *known = entry;
        }
    }

    /// What to call the program with; capitals do not count.
    pub(crate) fn argument(&self, name: &VoiceName) -> Option<&str> {
        let same = |(known, _): &(&VoiceName, &Entry)| known.as_str().eq_ignore_ascii_case(name.as_str());
        let found = self.by_name.get(name).or_else(|| self.by_name.iter().find(same).map(|(_, entry)| entry));
        found.map(|entry| entry.argument.as_str())
    }

    /// All of them, in the order of their names.
    pub(crate) fn list(&self) -> Vec<Voice> {
        let voice = |(name, entry): (&VoiceName, &Entry)| Voice { name: name.clone(), description: entry.description.clone() };
        self.by_name.iter().map(voice).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "\
Pty Language       Age/Gender VoiceName          File                 Other Languages
 5  de              --/M      German             gmw/de
 5  cmn             --/M      Chinese_(Mandarin,_latin_as_English) sit/cmn              (zh-cmn 5)(zh 5)
 5  zh              --/M      chinese-mb-cn1     mb/mb-cn1
 2  en-gb           --/M      English_(Great_Britain) gmw/en               (en 2)
 3  en-us           --/M      English_(America)  gmw/en-US            (en 3)
 5  pt              --/M      Portuguese_(Portugal) roa/pt               (pt-pt 5)
 5  yue             --/M      Chinese_(Cantonese) sit/yue              (zh-yue 5)(zh 8)
nonsense
 5  -x              --/M      Bad                bad/x
";

    fn argument(name: &str) -> Option<String> {
        Voices::parse(LIST).argument(&VoiceName::new(name).unwrap()).map(str::to_owned)
    }

    #[test]
    fn a_voice_is_found_by_its_language_by_another_it_speaks_and_by_the_contracts_name() {
        for (name, expected) in [
            ("de", "de"),
            ("en-us", "en-us"),
            ("en", "en-gb"),
            ("zh", "cmn"),
            ("zh-CN", "cmn"),
            ("ZH-cn", "cmn"),
            ("pt-PT", "pt"),
            ("zh-yue", "yue"),
        ] {
            assert_eq!(argument(name).as_deref(), Some(expected), "{name}");
        }
        for name in ["xx", "mb", "Bad", "german"] {
            assert_eq!(argument(name), None, "{name}");
        }
    }

    #[test]
    fn the_list_is_in_order_and_readable() {
        let voices = Voices::parse(LIST).list();
        assert!(voices.is_sorted_by(|a, b| a.name < b.name));
        let english = voices.iter().find(|voice| voice.name.as_str() == "en").unwrap();
        assert_eq!(english.description, "English (Great Britain)");
    }

    #[test]
    fn a_list_of_nonsense_holds_no_voice() {
        for list in ["", "\n\n", "one line", "a\nb c d e f g (h) (i i) )("] {
            assert!(Voices::parse(list).by_name.values().all(|entry| !entry.argument.starts_with('-')), "{list:?}");
        }
    }
}
