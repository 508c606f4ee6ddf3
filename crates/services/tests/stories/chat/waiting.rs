//! A turn whose model has not answered yet: it lives, it can be stopped, and what was acknowledged of it stays.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use chrono::TimeDelta;
use domain::ChatRole::{Assistant, User};
use domain::MessageStatus::{Done, Interrupted};
use domain::{ChatStreamId, Memory, PageRequest};
use futures_util::StreamExt;
use ports::{
    ChatStreamStore as _, Clock as _, GenerationError, GenerationInput, GenerationRequest, GeneratorDescription, NewTurn,
    Priority, TextGenerator, TokenStream,
};
use services::{Addressed, AnswerRequest, Caller, ChatTurn, ConversationSpec, ServiceError, Stopped};
use test_support::builders::a_chat_stream;
use test_support::{FakeTextGenerator, Gate, Step};
use tokio::sync::Semaphore;

use super::support::{Chat, Settings, heard, saying, saying_within};

/// A provider that makes up its mind when the test lets it.
struct Hesitant {
    permits: Semaphore,
    /// What it comes to, if it does not accept.
    refusal: Option<GenerationError>,
    waiting: AtomicUsize,
    asked: Mutex<Option<Priority>>,
    accepts: FakeTextGenerator,
}

/// Counts who waits, also where they are dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Hesitant {
    fn new(refusal: Option<GenerationError>) -> Arc<Self> {
        let (permits, waiting) = (Semaphore::new(0), AtomicUsize::new(0));
        let description =
            GeneratorDescription { context_length: 40, weights_digest: None, reproducible: true, answers_chats: false };
        let accepts = FakeTextGenerator::saying(["yes"]).described_as(description);
        Arc::new(Self { permits, refusal, waiting, asked: Mutex::default(), accepts })
    }

    fn refusing() -> Arc<Self> {
        Self::new(Some(refusal()))
    }

    async fn is_asked(&self) {
        while self.waiting.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
    }

    /// What it was asked for last.
    fn asked(&self) -> Option<Priority> {
        *self.asked.lock().unwrap()
    }

    fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }
}

fn refusal() -> GenerationError {
    GenerationError::ProviderUnreachable { provider: "openai" }
}

#[async_trait]
impl TextGenerator for Hesitant {
    fn describe(&self) -> GeneratorDescription {
        self.accepts.describe()
    }

    async fn generate(&self, request: GenerationRequest) -> Result<TokenStream, GenerationError> {
        *self.asked.lock().unwrap() = Some(request.priority);
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let waiting = Waiting(&self.waiting);
        self.permits.acquire().await.unwrap().forget();
        drop(waiting);
        match &self.refusal {
            Some(refusal) => Err(refusal.clone()),
            None => self.accepts.generate(request).await,
        }
    }

    async fn count_tokens(&self, input: &GenerationInput) -> Result<Option<u32>, GenerationError> {
        self.accepts.count_tokens(input).await
    }
}

fn fast() -> Settings {
    Settings { time_runs: 1000, ..Settings::default() }
}

/// Two replicas over one database, somebody, and what they said, which their model has been asked and has not accepted.
struct Unanswered {
    here: Chat,
    there: Chat,
    ana: Caller,
    turn: ChatTurn,
}

async fn unanswered(model: &Arc<Hesitant>) -> Unanswered {
    let here = Chat::set(model.clone(), fast()).await;
    let there = here.replica(Arc::new(FakeTextGenerator::saying(["never"])), fast()).await;
    let ana = here.newcomer().await;
    let turn = here.say(&ana, "One").await;
    model.is_asked().await;
    Unanswered { here, there, ana, turn }
}

fn question() -> (domain::ChatRole, String, domain::MessageStatus) {
    (User, "One".to_owned(), Done)
}

/// Waits until a turn has said that it lives, at the time that it is now.
async fn a_beat(chat: &Chat, ana: &Caller, id: ChatStreamId) {
    let beat = async || chat.database.read(ana.user.id, id, 0).await.unwrap().stream.beat_at;
    while beat().await < chat.clock.now() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn a_turn_that_waits_for_its_model_is_not_taken_for_dead() {
    let model = Hesitant::new(None);
    let Unanswered { here, there, ana, turn } = unanswered(&model).await;
    for _ in 0..3 {
        here.clock.advance(TimeDelta::seconds(61));
        // Nothing else has run since: the database has not heard of it.
        assert_eq!(here.service.recover_dead().await, Ok(0), "what is made here lives");
        a_beat(&here, &ana, turn.stream_id).await;
        assert_eq!(there.service.recover_dead().await, Ok(0));
    }
    model.permits.add_permits(1);
    assert_eq!(turn.whole().await.unwrap().assistant_message.content, "yes");
    assert_eq!(here.history(&ana).await.len(), 2);
}

#[tokio::test]
async fn who_was_given_up_for_dead_is_told_so_and_not_that_the_conversation_is_gone() {
    let model = Hesitant::new(None);
    let Unanswered { here, there, turn, .. } = unanswered(&model).await;
    here.clock.advance(TimeDelta::seconds(61));
    assert_eq!(there.service.recover_dead().await, Ok(1));
    assert_eq!(turn.whole().await.map(drop), Err(ServiceError::Generation(GenerationError::ShuttingDown)));
    assert_eq!(model.waiting(), 0);
}

#[tokio::test]
async fn a_stop_anywhere_ends_a_turn_that_its_model_has_not_accepted() {
    for elsewhere in [false, true] {
        let model = Hesitant::new(None);
        let Unanswered { here, there, ana, turn } = unanswered(&model).await;
        let chat = if elsewhere { &there } else { &here };
        assert_eq!(chat.service.stop(&ana, turn.stream_id).await, Ok(Stopped::Now));
        assert_eq!(model.waiting(), 0, "nobody is asked any more");
        assert_eq!(here.history(&ana).await, [question(), (Assistant, String::new(), Interrupted)]);
        assert!(heard(turn.into_events()).await.1);
    }
}

#[tokio::test]
async fn a_stop_ends_a_summary_too_and_nothing_is_asked_after_it() {
    let model = Hesitant::new(None);
    let here = Chat::set(model.clone(), fast()).await;
    let there = here.replica(Arc::new(FakeTextGenerator::saying(["never"])), fast()).await;
    let ana = here.newcomer().await;
    let spec = ConversationSpec { memory: Some(Memory::Summary), ..ConversationSpec::default() };
    let conversation = here.service.create_conversation(&ana, spec).await.unwrap();
    let say = async || {
        let request = saying_within("say it again", 10);
        here.service.send(&ana, Addressed::Conversation(conversation.id), request).await.unwrap()
    };
    model.permits.add_permits(1000);
    while !model.accepts.requests().iter().any(|request| request.priority == Priority::Batch) {
        say().await.whole().await.unwrap();
        assert!(model.accepts.requests().len() < 20, "nothing is summarised");
    }
    model.permits.forget_permits(1000);
    let turn = say().await;
    model.is_asked().await;
    assert_eq!(model.asked(), Some(Priority::Batch));
    let asked = model.accepts.requests().len();
    assert_eq!(there.service.stop(&ana, turn.stream_id).await, Ok(Stopped::Now));
    assert_eq!((model.waiting(), model.asked(), model.accepts.requests().len()), (0, Some(Priority::Batch), asked));
    here.background.finish().await;
    assert_eq!(here.limits.usage(&ana).await.unwrap().tokens.reserved, 0);
}

#[tokio::test]
async fn what_is_removed_ends_before_its_model_accepts() {
    let model = Hesitant::new(None);
    let Unanswered { here, there, ana, turn } = unanswered(&model).await;
    there.service.remove_conversation(&ana, turn.conversation_id).await.unwrap();
    assert_eq!(turn.whole().await.map(drop), Err(ServiceError::ConversationNotFound));
    here.background.finish().await;
    assert_eq!((model.waiting(), here.service.running()), (0, 0));
}

#[tokio::test]
async fn nobody_waits_for_ever_for_a_model_that_nobody_listens_to() {
    let model = Hesitant::new(None);
    let Unanswered { here, ana, turn, .. } = unanswered(&model).await;
    drop(turn);
    here.background.finish().await;
    assert_eq!(model.waiting(), 0);
    assert_eq!(here.history(&ana).await, [question(), (Assistant, String::new(), Interrupted)]);
}

#[tokio::test]
async fn a_question_that_was_acknowledged_stays_when_its_model_refuses_late() {
    let model = Hesitant::refusing();
    let Unanswered { here, ana, mut turn, .. } = unanswered(&model).await;
    turn.promised().await.unwrap();
    let id = turn.stream_id;
    model.permits.add_permits(1);
    let told: Vec<_> = turn.into_events().collect().await;
    assert_eq!(told, [Err(ServiceError::Generation(refusal()))]);
    assert_eq!(here.history(&ana).await, [question()]);
    let again: Vec<_> = here.resume(&ana, id, 0).await.unwrap().collect().await;
    assert!(matches!(again.as_slice(), [Err(ServiceError::Generation(GenerationError::ProviderFailed { .. }))]), "{again:?}");
    here.background.finish().await;
    assert_eq!((here.service.running(), here.limits.usage(&ana).await.unwrap().tokens.reserved), (0, 0));
}

#[tokio::test]
async fn an_answer_that_is_to_be_made_again_and_fails_late_leaves_the_one_before_it() {
    let model = Hesitant::refusing();
    let Unanswered { here, there, ana, turn } = unanswered(&model).await;
    here.service.stop(&ana, turn.stream_id).await.unwrap();
    let answered = there.service.regenerate(&ana, turn.conversation_id, turn.user_message.id, AnswerRequest::default()).await;
    let answer = answered.unwrap().whole().await.unwrap().assistant_message;
    let again = here.service.regenerate(&ana, answer.conversation_id, answer.id, AnswerRequest::default()).await;
    let mut again = again.unwrap();
    again.promised().await.unwrap();
    model.permits.add_permits(1);
    again.whole().await.unwrap_err();
    assert_eq!(here.history(&ana).await, [question(), (Assistant, "never".into(), Done)]);
}

#[tokio::test]
async fn a_question_whose_asker_lost_the_connection_stays_and_who_waits_is_refused_without_a_trace() {
    let model = Hesitant::refusing();
    let Unanswered { here, ana, turn, .. } = unanswered(&model).await;
    drop(turn);
    model.permits.add_permits(1);
    here.background.finish().await;
    assert_eq!(here.history(&ana).await, [question()], "they could not be told that it was refused");

    let model = Hesitant::refusing();
    let Unanswered { here, ana, mut turn, .. } = unanswered(&model).await;
    model.permits.add_permits(1);
    assert_eq!(turn.opened().await, Err(ServiceError::Generation(refusal())));
    assert_eq!(turn.promised().await, Err(ServiceError::Generation(refusal())), "it is too late to promise anything");
    assert_eq!(here.history(&ana).await, []);
}

#[tokio::test]
async fn a_server_that_stops_keeps_what_it_acknowledged() {
    for acknowledged in [true, false] {
        let model = Hesitant::new(None);
        let Unanswered { here, ana, mut turn, .. } = unanswered(&model).await;
        if acknowledged {
            turn.promised().await.unwrap();
        }
        here.service.cut_all();
        assert_eq!(turn.opened().await, Err(ServiceError::Generation(GenerationError::ShuttingDown)));
        here.background.finish().await;
        assert_eq!(model.waiting(), 0);
        assert_eq!(here.history(&ana).await.len(), usize::from(acknowledged));
    }
}

#[tokio::test]
async fn a_late_refusal_hides_nothing_that_was_said_meanwhile() {
    let model = Hesitant::refusing();
    let Unanswered { here, there, ana, turn } = unanswered(&model).await;
    let (id, asked) = (turn.conversation_id, turn.user_message.id);
    let edited = there.service.edit_message(&ana, id, asked, "Two".into()).await.unwrap().message;
    there.service.regenerate(&ana, id, edited.id, AnswerRequest::default()).await.unwrap().whole().await.unwrap();
    model.permits.add_permits(1);
    turn.whole().await.unwrap_err();
    assert_eq!(here.history(&ana).await, [(User, "Two".into(), Done), (Assistant, "never".into(), Done)]);
}

#[tokio::test]
async fn who_goes_on_while_they_are_answered_keeps_the_answer_as_far_as_it_came() {
    for elsewhere in [false, true] {
        let model = Arc::new(FakeTextGenerator::following([Step::Text("a".into()), Step::Wait(Gate::shut())]));
        let here = Chat::set(model.clone(), fast()).await;
        let other = Arc::new(FakeTextGenerator::saying(["yes"]));
        let there = here.replica(other.clone(), fast()).await;
        let ana = here.newcomer().await;
        let mut events = here.say(&ana, "One").await.into_events();
        events.next().await.unwrap().unwrap();
        // The phone lost its network, and asks again.
        drop(events);
        model.follow([Step::Text("yes".into())]);
        let (chat, asked) = if elsewhere { (&there, &other) } else { (&here, &model) };
        chat.service.send(&ana, Addressed::Default, saying("Two")).await.unwrap().whole().await.unwrap();
        let told = |role, text: &str, status| (role, text.to_owned(), status);
        let expected = [question(), told(Assistant, "a", Interrupted), told(User, "Two", Done), told(Assistant, "yes", Done)];
        assert_eq!(here.history(&ana).await, expected);
        let GenerationInput::Chat(given) = asked.requests().pop().unwrap().input else { panic!("a chat asks with a chat") };
        assert_eq!(given.iter().map(|message| message.content.as_str()).collect::<Vec<_>>(), ["One", "a", "Two"]);
    }
}

/// Its process died a moment ago, and nobody has given it up yet.
#[tokio::test]
async fn a_process_that_is_silent_is_not_waited_for_for_ever() {
    let chat = Chat::set(Arc::new(FakeTextGenerator::saying(["yes"])), fast()).await;
    let ana = chat.newcomer().await;
    let first = chat.say(&ana, "One").await.whole().await.unwrap();
    let orphan = a_chat_stream(ana.user.id, &first.assistant_message);
    let begun = NewTurn { stream: orphan.clone(), message: None, title: None, max_messages: 100 };
    chat.database.begin(begun).await.unwrap();
    assert_eq!(chat.service.stop(&ana, orphan.id).await, Ok(Stopped::Soon), "it is not said to have stopped");
    chat.say(&ana, "Two").await.whole().await.unwrap();
    assert_eq!(chat.history(&ana).await.len(), 4);
}

#[tokio::test]
async fn what_is_refused_at_once_stops_no_answer() {
    let model = Arc::new(FakeTextGenerator::following([Step::Text("a".into()), Step::Wait(Gate::shut())]));
    let chat = Chat::with(model.clone()).await;
    let ana = chat.newcomer().await;
    let mut events = chat.say(&ana, "One").await.into_events();
    events.next().await.unwrap().unwrap();
    model.refuse_with(Some(GenerationError::Overloaded { retry_after_seconds: 1 }));
    chat.service.send(&ana, Addressed::Default, saying("Two")).await.map(drop).unwrap_err();
    let unknown = AnswerRequest { model: Some("nowhere".into()), ..AnswerRequest::default() };
    let request = services::ChatRequest { answer: unknown, ..saying("Two") };
    chat.service.send(&ana, Addressed::Default, request).await.map(drop).unwrap_err();
    assert_eq!((model.open_streams(), chat.service.running()), (1, 1));
}

#[tokio::test]
async fn who_reads_an_empty_history_or_empties_it_begins_nothing() {
    let chat = Chat::with(Arc::new(FakeTextGenerator::saying(["yes"]))).await;
    let ana = chat.newcomer().await;
    assert_eq!(chat.history(&ana).await, []);
    chat.service.empty_history(&ana).await.unwrap();
    let all = chat.service.list_conversations(&ana, services::ConversationQuery::default(), PageRequest::default()).await;
    assert_eq!(all.unwrap().items, []);
}
