//! Twenty people at once, who say things, lose their connection, come back here or at another replica, stop, edit, answer again, empty
//! and remove, in any order. Whatever they do: nobody hears another, nothing is heard that is not stored, and no place is lost.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use domain::{ChatRole, ChatStreamId, Message, MessageId, MessageStatus, PageRequest};
use futures_util::StreamExt;
use proptest::prelude::*;
use services::{Addressed, AnswerRequest, Caller, ChatEvent, ChatEvents, ChatTurn, ServiceError};

use super::support::{Chat, Echo, Settings, as_imported, echo_of, saying};

const PEOPLE: usize = 20;
const REPEATS: usize = 4;

#[derive(Debug, Clone)]
enum Act {
    Say {
        words: usize,
    },
    /// Reads so many events of what they listen to.
    Read {
        events: usize,
    },
    /// Loses the connection.
    Drop,
    /// Takes the last answer up where they were, at one of the two replicas.
    Resume {
        there: bool,
    },
    /// Tries to take up the last answer of somebody else.
    Pry {
        victim: usize,
    },
    Stop {
        there: bool,
    },
    Edit,
    Regenerate,
    Empty,
    Wait,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => (1..6_usize).prop_map(|words| Act::Say { words }),
        6 => (0..12_usize).prop_map(|events| Act::Read { events }),
        4 => Just(Act::Drop),
        5 => any::<bool>().prop_map(|there| Act::Resume { there }),
        1 => (0..PEOPLE).prop_map(|victim| Act::Pry { victim }),
        1 => any::<bool>().prop_map(|there| Act::Stop { there }),
        1 => Just(Act::Edit),
        2 => Just(Act::Regenerate),
        1 => Just(Act::Empty),
        2 => Just(Act::Wait),
    ]
}

/// One of the crowd.
struct Person {
    caller: Caller,
    /// What every word of theirs begins with.
    mark: String,
    said: usize,
    stream: Option<ChatStreamId>,
    listening: Option<ChatEvents>,
    /// What other windows of theirs still listen to.
    left_open: Vec<ChatEvents>,
    /// By answer: its message, and its pieces as they were heard.
    heard: HashMap<ChatStreamId, (MessageId, Vec<String>, bool)>,
}

impl Person {
    fn follow(&mut self, turn: ChatTurn) {
        self.stream = Some(turn.stream_id);
        self.heard.insert(turn.stream_id, (turn.message_id, Vec::new(), false));
        self.left_open.extend(self.listening.replace(turn.into_events()));
    }

    async fn read(&mut self, events: usize) {
        let (Some(stream), Some(listening)) = (self.stream, &mut self.listening) else { return };
        let (_, pieces, ended) = self.heard.get_mut(&stream).unwrap();
        for _ in 0..events {
            match tokio::time::timeout(Duration::from_secs(20), listening.next()).await.expect("an answer goes on or ends") {
                Some(Ok(ChatEvent::Text { number, text })) => {
                    assert_eq!(number as usize, pieces.len() + 1, "nothing is missing, and nothing comes twice");
                    pieces.push(text);
                }
                Some(Ok(ChatEvent::Done { number })) => {
                    assert_eq!(number as usize, pieces.len() + 1);
                    *ended = true;
                }
                Some(Ok(ChatEvent::Queued { .. })) => {}
                Some(Err(_)) | None => break,
            }
        }
    }
}

struct Crowd {
    here: Chat,
    there: Chat,
    model: Arc<Echo>,
    people: Vec<Person>,
}

impl Crowd {
    async fn gather() -> Self {
        let settings = || Settings { time_runs: 50, ..Settings::default() };
        let model = Arc::new(Echo::new(REPEATS, Duration::from_micros(300)).refusing_one_of(4));
        let here = Chat::set(model.clone(), settings()).await;
        let there = here.replica(model.clone(), settings()).await;
        let mut people = Vec::new();
        for number in 0..PEOPLE {
            let (caller, mark) = (here.newcomer().await, format!("p{number}x"));
            people.push(Person {
                caller,
                mark,
                said: 0,
                stream: None,
                listening: None,
                left_open: Vec::new(),
                heard: HashMap::new(),
            });
        }
        Self { here, there, model, people }
    }

    async fn act(&mut self, who: usize, act: Act) {
        let pried = match act {
            Act::Pry { victim } if victim != who => self.people[victim].stream,
            _ => None,
        };
        let (here, there) = (&self.here.service, &self.there.service);
        let person = &mut self.people[who];
        match act {
            Act::Say { words } => {
                let content: Vec<String> = (0..words).map(|word| format!("{}{}-{word}", person.mark, person.said)).collect();
                person.said += 1;
                let turn = here.send(&person.caller, Addressed::Default, saying(&content.join(" "))).await.unwrap();
                person.follow(turn);
            }
            Act::Read { events } => person.read(events).await,
            Act::Drop => {
                person.listening = None;
                person.left_open.clear();
            }
            Act::Resume { there: elsewhere } => {
                let Some(stream) = person.stream else { return };
                let after = u32::try_from(person.heard[&stream].1.len()).unwrap();
                let chat = if elsewhere { &self.there } else { &self.here };
                person.listening = chat.resume(&person.caller, stream, after).await.ok();
            }
            Act::Pry { .. } => {
                let Some(stream) = pried else { return };
                assert!(here.resume(&person.caller, stream, 0).await.is_err(), "an answer is for its user alone");
                assert!(there.stop(&person.caller, stream).await.is_err());
            }
            Act::Stop { there: elsewhere } => {
                let Some(stream) = person.stream else { return };
                // It may be gone with its conversation.
                let _ = if elsewhere { there } else { here }.stop(&person.caller, stream).await;
            }
            Act::Edit | Act::Regenerate => {
                let last = here.history(&person.caller, PageRequest::default()).await.unwrap().messages.pop();
                let Some(last) = last.map(|view| view.message) else { return };
                let asked = if matches!(act, Act::Edit) && last.role == ChatRole::User {
                    let content = format!("{}{}-edited", person.mark, person.said);
                    match here.edit_message(&person.caller, last.conversation_id, last.id, content).await {
                        Ok(edited) => edited.message,
                        Err(ServiceError::MessageNotFound) => return,
                        Err(error) => panic!("{error}"),
                    }
                } else {
                    last
                };
                // What was refused a moment after it was seen is not there any more.
                match here.regenerate(&person.caller, asked.conversation_id, asked.id, AnswerRequest::default()).await {
                    Ok(turn) => person.follow(turn),
                    Err(ServiceError::MessageNotFound | ServiceError::Refused(_)) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            Act::Empty => here.empty_history(&person.caller).await.unwrap(),
            Act::Wait => tokio::time::sleep(Duration::from_millis(1)).await,
        }
    }

    /// Everybody listens to the end, and everything is looked at.
    async fn check(mut self) {
        for person in &mut self.people {
            person.read(usize::MAX).await;
            person.listening = None;
            person.left_open.clear();
        }
        self.here.background.finish().await;
        self.here.background.finish().await;
        assert_eq!((self.model.open_streams(), self.here.service.running()), (0, 0), "no place is lost");
        for person in &self.people {
            let tokens = self.here.limits.usage(&person.caller).await.unwrap().tokens;
            assert_eq!(tokens.reserved, 0, "no token stays set aside");
            let kept = self.here.all_exported(&person.caller).await;
            let messages: HashMap<MessageId, &Message> =
                kept.iter().flat_map(|exported| &exported.messages).map(|message| (message.id, message)).collect();
            for exported in &kept {
                assert_eq!(
                    exported.active_message, exported.conversation.active_message,
                    "a conversation is at one of its messages"
                );
                self.here
                    .service
                    .import(&person.caller, vec![as_imported(exported)])
                    .await
                    .expect("what is exported can be imported");
            }
            person.check(&messages);
        }
    }
}

impl Person {
    fn check(&self, messages: &HashMap<MessageId, &Message>) {
        for message in messages.values() {
            let depth = message.parent_id.map_or(0, |parent| messages[&parent].depth + 1);
            assert_eq!(message.depth, depth, "nothing hangs from what is not there");
            assert!(message.content.split_whitespace().all(|word| word.starts_with(&self.mark)), "{}", message.content);
            let Some(parent) = message.parent_id.filter(|_| message.role == ChatRole::Assistant) else { continue };
            let whole = echo_of(&messages[&parent].content, REPEATS);
            match message.status {
                MessageStatus::Done => assert_eq!(message.content, whole),
                _ => assert!(whole.starts_with(&message.content)),
            }
        }
        for (message, pieces, ended) in self.heard.values() {
            let heard = pieces.concat();
            assert!(heard.split_whitespace().all(|word| word.starts_with(&self.mark)), "{heard}");
            // What was removed meanwhile is not there.
            if let Some(stored) = messages.get(message) {
                assert!(stored.content.starts_with(&heard), "{heard:?} was heard of {:?}", stored.content);
                assert!(!ended || stored.content == heard, "what is stored is what was heard to its end");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_interleaved_everybody_hears_and_keeps_their_own(
        acts in prop::collection::vec((0..PEOPLE, act()), 100..400),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let mut crowd = Crowd::gather().await;
            for (who, act) in acts {
                crowd.act(who, act).await;
            }
            crowd.check().await;
        });
    }
}
