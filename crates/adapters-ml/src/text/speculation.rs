//! Guesses the next tokens from what the text already says, so that several can be verified in one pass of the model.
//!
//! Prompt lookup (Saxena, 2023; Yang et al., "Inference with Reference", 2023): where the last few tokens occurred before, what followed
//! them then is the draft. Verifying it costs little more than one step, since a step is bound by reading the weights. Nothing is lost:
//! the sampler chooses each token from its own row of logits exactly as it would have, and the draft is believed only as far as it
//! agrees with what was chosen.

/// The longest ending of the text that is looked up, and the shortest.
const LONGEST_MATCH: usize = 4;
const SHORTEST_MATCH: usize = 2;
/// How far back is looked.
const WINDOW_TOKENS: usize = 4096;
/// The most tokens guessed at once: beyond it, on two cores, rows begin to cost as much as steps.
const MAX_DRAFT: usize = 8;
const MIN_DRAFT: usize = 2;
/// A check pays if it gives at least this many tokens beyond the one that a plain step gives.
const PAYING_GAIN: f32 = 0.5;
/// After checks that did not pay, so many steps go by before the next try.
const PAUSE_STEPS: u32 = 16;

/// Whether and how far to guess for one sequence, by how earlier guesses went.
#[derive(Debug, Clone)]
pub struct Speculation {
    draft_length: usize,
    /// Moving average of the tokens gained by a check.
    gain: f32,
    pause: u32,
}

impl Default for Speculation {
    fn default() -> Self {
        // The first checks are tried; two that fail suffice to stop.
        Self { draft_length: 4, gain: 2.0 * PAYING_GAIN, pause: 0 }
    }
}

impl Speculation {
    /// A guess of at most `limit` tokens that may follow `tokens`, if one is worth its cost now.
    pub fn draft(&mut self, tokens: &[u32], limit: usize) -> Option<Vec<u32>> {
        if self.pause > 0 {
            self.pause -= 1;
            return None;
        }
        lookup(tokens, self.draft_length.min(limit))
    }

    /// Learns how a check went: so many of the guessed tokens were right.
    pub fn observe(&mut self, guessed: usize, right: usize) {
        #[expect(clippy::cast_precision_loss, reason = "a draft has at most 8 tokens")]
        let gained = right as f32;
        self.gain = 0.5 * self.gain + 0.5 * gained;
        self.draft_length = if right == guessed { self.draft_length * 2 } else { right + 1 }.clamp(MIN_DRAFT, MAX_DRAFT);
        if self.gain < PAYING_GAIN {
            self.pause = PAUSE_STEPS;
            // One right guess after the pause is enough to go on.
            self.gain = PAYING_GAIN;
        }
    }
}

/// What followed the last occurrence of the longest ending of `tokens` that occurred before. Where that runs into the ending itself, the
/// text repeats with a period, and the draft goes on repeating it.
fn lookup(tokens: &[u32], limit: usize) -> Option<Vec<u32>> {
    let window = tokens.get(tokens.len().saturating_sub(WINDOW_TOKENS)..)?;
    let earlier = window.get(..window.len().checked_sub(1)?)?;
    let found = (SHORTEST_MATCH..=LONGEST_MATCH).rev().find_map(|length| {
        let ending = window.get(window.len().checked_sub(length)?..)?;
        earlier.windows(length).rposition(|candidate| candidate == ending).map(|start| start + length)
    })?;
    let period = window.get(found..)?;
    let draft: Vec<u32> = period.iter().copied().cycle().take(limit).collect();
    (!draft.is_empty()).then_some(draft)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_followed_the_same_words_before_is_guessed_again() {
        assert_eq!(lookup(&[1, 2, 3, 4, 9, 1, 2], 3), Some(vec![3, 4, 9]));
        assert_eq!(lookup(&[1, 2, 3, 1, 2, 4, 1, 2], 1), Some(vec![4]), "the latest occurrence counts");
        assert_eq!(lookup(&[5, 1, 2, 3, 6, 1, 2, 7, 5, 1, 2], 1), Some(vec![3]), "the longest match counts");
    }

    #[test]
    fn a_text_that_repeats_itself_is_guessed_to_go_on() {
        assert_eq!(lookup(&[7, 7, 7, 7], 4), Some(vec![7; 4]));
        assert_eq!(lookup(&[1, 2, 3, 1, 2, 3, 1], 5), Some(vec![2, 3, 1, 2, 3]));
    }

    #[test]
    fn without_an_earlier_occurrence_or_room_nothing_is_guessed() {
        assert_eq!(lookup(&[1, 2, 3], 4), None);
        assert_eq!(lookup(&[1, 2, 3, 1, 2], 0), None);
        assert_eq!(lookup(&[], 4), None);
    }

    #[test]
    fn guessing_stops_where_it_does_not_pay_and_is_tried_again_later() {
        let tokens = [1, 2, 3, 1, 2];
        let mut speculation = Speculation::default();
        let mut failures = 0;
        while speculation.draft(&tokens, 4).is_some() {
            speculation.observe(2, 0);
            failures += 1;
        }
        assert_eq!(failures, 2);
        let waited = (1..1000).find(|_| speculation.draft(&tokens, 4).is_some()).unwrap();
        assert_eq!(waited, PAUSE_STEPS);
        speculation.observe(2, 2);
        assert!(speculation.draft(&tokens, 4).is_some());
    }
}
