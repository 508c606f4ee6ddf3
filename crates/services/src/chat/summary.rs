//! What stands for turns that no longer fit: a summary that the model itself makes.
//!
//! It is made when turns are dropped of which it does not speak yet, from the summary before and those turns, and kept with the
//! conversation. A summary of another branch, or one so old that its last message is no longer looked at, is none. Making it must never
//! cost a user their answer: where it fails, or their tokens do not suffice for it, the answer goes without.

use domain::{ChatMessage, ChatRole, ConversationSummary, LengthLimit, Message, SamplingParameters};
use ports::{GenerationError, GenerationInput, GenerationRequest, Owner, Priority, TokenEvent};

use super::turn::Turn;
use crate::ServiceError;
use crate::generation::{Demand, Running};

/// How many pieces of a long past are summarised for one answer. What is left then is summarised with the next.
const STEPS: usize = 4;

const TASK: &str = "You keep the memory of a conversation. Write what an assistant must know of the following to go on with it: facts, \
names, decisions and open questions, in a few plain sentences. Write nothing else.";

impl Turn {
    /// A summary of the turns that are dropped, as far as there is one.
    pub(super) async fn summary(&mut self) -> Option<String> {
        let dropped = std::mem::take(&mut self.context.dropped);
        let known = self.conversation.summary.take();
        // It speaks of the messages up to this one.
        let spoken_of = known.as_ref().and_then(|known| dropped.iter().position(|message| message.id == known.up_to));
        let (mut text, mut unspoken) = match (known, spoken_of) {
            (Some(known), Some(last)) => (Some(known.text), dropped.get(last + 1..).unwrap_or_default()),
            _ => (None, dropped.as_slice()),
        };
        for _ in 0..STEPS {
            if unspoken.is_empty() {
                break;
            }
            match self.summarise(text.as_deref(), unspoken).await {
                Ok((summary, count)) => {
                    let (spoken, rest) = unspoken.split_at_checked(count).unwrap_or((unspoken, &[]));
                    self.keep(&summary, spoken).await;
                    (text, unspoken) = (Some(summary), rest);
                }
                Err(error) => {
                    let id = self.stream.conversation_id;
                    tracing::warn!(conversation_id = %id, %error, "a conversation could not be summarised; its answer goes without");
                    break;
                }
            }
        }
        text
    }

    /// Makes one summary of the one before and as many of these messages as fit; answers how many those were.
    async fn summarise(&self, before: Option<&str>, messages: &[Message]) -> Result<(String, usize), ServiceError> {
        let budget = self.answerer.summary_budget();
        let mut count = messages.len();
        let chat = loop {
            let chat = question(before, messages.get(..count).unwrap_or_default());
            // A single message that does not fit is left to the model's own refusal.
            if count <= 1 || self.answerer.count_tokens(chat.clone()).await? <= budget {
                break chat;
            }
            count /= 2;
        };
        let parameters = SamplingParameters {
            length: LengthLimit::New(self.answerer.summary_tokens()),
            temperature: 0.0,
            ..self.answerer.parameters.clone()
        };
        let owner = Owner::User(self.stream.user_id);
        let request = GenerationRequest {
            priority: Priority::Batch,
            ..GenerationRequest::new(GenerationInput::Chat(chat), parameters, owner)
        };
        let generator = &*self.answerer.generator;
        let hold = self.service.generators.hold(&self.caller, Demand::of(generator, &request)).await?;
        let mut running = Running::one(generator.generate(request).await?, hold);
        let mut summary = String::new();
        while let Some(event) = running.next().await {
            if let (_, TokenEvent::Text { text, .. }) = event? {
                summary.push_str(&text);
            }
        }
        running.settle().await;
        let summary = summary.trim();
        if summary.is_empty() {
            return Err(GenerationError::Failed("the model had nothing to say".to_owned()).into());
        }
        Ok((summary.to_owned(), count))
    }

    /// Keeps a summary with the conversation, for the turns to come.
    async fn keep(&self, summary: &str, spoken: &[Message]) {
        let Some(last) = spoken.last() else { return };
        let kept = ConversationSummary { text: summary.to_owned(), up_to: last.id };
        let conversations = &self.service.ports.conversations;
        if let Err(error) = conversations.keep_summary(self.stream.conversation_id, kept).await {
            tracing::warn!(conversation_id = %self.stream.conversation_id, %error, "a summary could not be kept");
        }
    }
}

/// What the model is asked for a summary.
fn question(before: Option<&str>, messages: &[Message]) -> Vec<ChatMessage> {
    let mut said = String::new();
    if let Some(before) = before {
        said.push_str("What was said before, in short:\n");
        said.push_str(before);
        said.push_str("\n\n");
    }
    said.push_str("What was said then:\n");
    for message in messages.iter().filter(|message| !message.content.is_empty()) {
        said.push_str(message.role.as_str());
        said.push_str(": ");
        said.push_str(&message.content);
        said.push('\n');
    }
    let message = |role, content: String| ChatMessage { role, content };
    vec![message(ChatRole::System, TASK.to_owned()), message(ChatRole::User, said)]
}
