//! Saying something and being answered.

use std::sync::Arc;

use domain::ChatRole::{Assistant, User};
use domain::MessageStatus::{Done, Failed, Interrupted};
use domain::{ContextUse, PageRequest, TokenUsage};
use futures_util::StreamExt;
use ports::{GenerationError, RecordScope};
use services::{Addressed, ChatEvent, ConversationSpec, MessageOrder, ServiceError};
use test_support::{FakeTextGenerator, Gate, Step};

use super::support::{Chat, Settings, heard, saying};

fn told(said: &str) -> String {
    said.to_owned()
}

#[tokio::test]
async fn what_is_said_is_answered_and_both_are_kept() {
    let chat = Chat::with(Arc::new(FakeTextGenerator::saying([" a", " time\r", "\n[DONE]"]))).await;
    let ana = chat.newcomer().await;
    let mut turn = chat.say(&ana, "Once upon").await;
    assert_eq!(turn.opened().await.unwrap(), ContextUse { messages_used: 1, messages_dropped: 0, prompt_tokens: 3 });
    let (conversation_id, message_id) = (turn.conversation_id, turn.message_id);
    let events: Vec<_> = turn.into_events().map(Result::unwrap).collect().await;
    let piece = |number, text: &str| ChatEvent::Text { number, text: text.into() };
    let expected = [piece(1, " a"), piece(2, " time\n"), piece(3, "[DO"), piece(4, "NE]"), ChatEvent::Done { number: 5 }];
    assert_eq!(events, expected, "no line of a piece is what ends a stream, and a line ends one way");
    assert_eq!(chat.history(&ana).await, [(User, told("Once upon"), Done), (Assistant, told(" a time\n[DONE]"), Done)]);
    let conversation = chat.service.conversation(&ana, conversation_id).await.unwrap();
    assert_eq!(conversation.title.unwrap().as_str(), "Once upon");
    assert_eq!(conversation.active_message, Some(message_id));
    let page = chat.service.history(&ana, PageRequest::default()).await.unwrap();
    assert_eq!(page.messages[1].message.usage, Some(TokenUsage { prompt_tokens: 3, completion_tokens: 3 }));
    chat.background.finish().await;
    assert_eq!(chat.limits.usage(&ana).await.unwrap().tokens.used, 6);
    assert_eq!(chat.service.running(), 0);
}

#[tokio::test]
async fn the_question_is_kept_before_the_model_is_asked() {
    let gate = Gate::shut();
    let chat = Chat::with(Arc::new(FakeTextGenerator::following([Step::Wait(gate.clone()), Step::Text("yes".into())]))).await;
    let ana = chat.newcomer().await;
    let mut turn = chat.say(&ana, "Are you there?").await;
    turn.opened().await.unwrap();
    assert_eq!(chat.history(&ana).await, [(User, told("Are you there?"), Done)]);
    gate.let_one_through();
    let answer = turn.whole().await.unwrap();
    assert_eq!((answer.user_message.content.as_str(), answer.assistant_message.content.as_str()), ("Are you there?", "yes"));
}

#[tokio::test]
async fn what_is_refused_leaves_no_trace() {
    let generator = Arc::new(FakeTextGenerator::saying(["yes"]));
    let settings = Settings { tokens_per_day: Some(300), ..Settings::default() };
    let chat = Chat::set(generator.clone(), settings).await;
    let ana = chat.newcomer().await;
    // The first is known before anything is stored, the second only when the model was asked.
    let busy = GenerationError::ProviderBusy { provider: "openai", retry_after_seconds: 2 };
    for refusal in [GenerationError::Overloaded { retry_after_seconds: 2 }, busy] {
        generator.refuse_with(Some(refusal.clone()));
        let refused = match chat.service.send(&ana, Addressed::Default, saying("Hello")).await {
            Ok(turn) => turn.whole().await.map(drop),
            Err(error) => Err(error),
        };
        assert_eq!(refused, Err(ServiceError::Generation(refusal)));
    }
    generator.refuse_with(None);
    assert_eq!(chat.history(&ana).await, []);
    chat.background.finish().await;
    assert_eq!(chat.limits.usage(&ana).await.unwrap().tokens, domain::TokensOfDay { used: 0, reserved: 0 }, "it costs nothing");
    let first = chat.say(&ana, "Hello").await.whole().await.unwrap();
    let refused = chat.service.send(&ana, Addressed::Default, saying(&"word ".repeat(150))).await;
    assert!(matches!(refused.map(drop), Err(ServiceError::QuotaExceeded { asked: 355, .. })));
    for content in ["", "  ", &"x".repeat(1001)] {
        assert!(matches!(chat.service.send(&ana, Addressed::Default, saying(content)).await, Err(ServiceError::Refused(_))));
    }
    let kept = chat.history(&ana).await;
    assert_eq!(kept, [(User, told("Hello"), Done), (Assistant, told("yes"), Done)]);
    let conversation = chat.service.conversation(&ana, first.user_message.conversation_id).await.unwrap();
    assert_eq!(conversation.active_message, Some(first.assistant_message.id));
    chat.background.finish().await;
}

#[tokio::test]
async fn an_answer_that_breaks_keeps_what_was_said_and_tells_why() {
    let broken = GenerationError::Failed("the runtime is gone".into());
    let chat = Chat::with(Arc::new(FakeTextGenerator::following([Step::Text(" a".into()), Step::Fail(broken.clone())]))).await;
    let ana = chat.newcomer().await;
    let events: Vec<_> = chat.say(&ana, "Once upon").await.into_events().collect().await;
    assert_eq!(events, [Ok(ChatEvent::Text { number: 1, text: " a".into() }), Err(ServiceError::Generation(broken))]);
    assert_eq!(chat.history(&ana).await[1], (Assistant, told(" a"), Failed));
    let late = Chat::with(Arc::new(FakeTextGenerator::following([
        Step::Text(" a".into()),
        Step::Fail(GenerationError::DeadlineExceeded),
    ])));
    let chat = late.await;
    let ben = chat.newcomer().await;
    assert!(chat.say(&ben, "Once upon").await.whole().await.is_err());
    assert_eq!(chat.history(&ben).await[1], (Assistant, told(" a"), Interrupted));
}

#[tokio::test]
async fn an_answer_that_never_began_is_none_and_its_question_stays() {
    let gate = Gate::shut();
    let script = [Step::Queued(3), Step::Wait(gate.clone()), Step::Fail(GenerationError::DeadlineExceeded)];
    let chat = Chat::with(Arc::new(FakeTextGenerator::following(script))).await;
    let ana = chat.newcomer().await;
    let mut events = chat.say(&ana, "Hello").await.into_events();
    assert_eq!(events.next().await, Some(Ok(ChatEvent::Queued { position: 3 })));
    gate.let_one_through();
    assert_eq!(events.next().await, Some(Err(ServiceError::Generation(GenerationError::DeadlineExceeded))));
    assert_eq!(chat.history(&ana).await, [(User, told("Hello"), Done)]);
}

#[tokio::test]
async fn a_store_that_is_away_at_the_end_is_waited_for_a_little() {
    let gate = Gate::shut();
    let chat = Chat::with(Arc::new(FakeTextGenerator::following([Step::Text("yes".into()), Step::Wait(gate.clone())]))).await;
    let ana = chat.newcomer().await;
    let mut turn = chat.say(&ana, "Hello").await;
    turn.opened().await.unwrap();
    chat.database.set_down(true);
    gate.let_one_through();
    let answer = tokio::spawn(turn.whole());
    tokio::time::sleep(std::time::Duration::from_millis(70)).await;
    chat.database.set_down(false);
    assert_eq!(answer.await.unwrap().unwrap().assistant_message.content, "yes");

    chat.say(&ana, "Again").await.opened().await.unwrap();
    let turn = chat.say(&ana, "And again").await;
    tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    chat.database.set_down(true);
    gate.let_one_through();
    gate.let_one_through();
    assert!(matches!(turn.whole().await, Err(ServiceError::Store(_))), "what is not stored is not answered");
}

#[tokio::test]
async fn nobody_talks_reads_or_removes_in_anothers_conversation_but_an_admin_reads_and_removes() {
    let chat = Chat::with(Arc::new(FakeTextGenerator::saying(["yes"]))).await;
    let (admin, ana, ben) = (chat.newcomer().await, chat.newcomer().await, chat.newcomer().await);
    let answer = chat.say(&ana, "A secret").await.whole().await.unwrap();
    let (id, message) = (answer.user_message.conversation_id, answer.user_message.id);
    let missing = ServiceError::ConversationNotFound;
    for stranger in [&ben, &admin] {
        let sent = chat.service.send(stranger, Addressed::Conversation(id), saying("Hello")).await;
        assert_eq!(sent.map(drop).unwrap_err(), missing);
        assert_eq!(chat.service.edit_message(stranger, id, message, "mine".into()).await.unwrap_err(), missing);
        assert_eq!(
            chat.service.change_conversation(stranger, id, services::ConversationEdit::default()).await.unwrap_err(),
            missing
        );
    }
    assert_eq!(chat.service.conversation(&ben, id).await.unwrap_err(), missing);
    assert_eq!(chat.service.messages(&ben, id, None, PageRequest::default()).await.unwrap_err(), missing);
    let exported = chat.service.read_conversation(&ben, id, MessageOrder::Tree).await;
    assert_eq!(exported.map(drop).unwrap_err(), missing);
    assert_eq!(chat.service.remove_conversation(&ben, id).await.unwrap_err(), missing);
    assert_eq!(chat.service.messages(&admin, id, None, PageRequest::default()).await.unwrap().messages.len(), 2);
    chat.service.remove_conversation(&admin, id).await.unwrap();
    assert_eq!(chat.history(&ana).await, []);
}

#[tokio::test]
async fn what_is_removed_or_emptied_meanwhile_is_not_answered() {
    for empties in [true, false] {
        let generator = Arc::new(FakeTextGenerator::following([Step::Text("no".into()), Step::Wait(Gate::shut())]));
        let chat = Chat::with(generator.clone()).await;
        let ana = chat.newcomer().await;
        let mut turn = chat.say(&ana, "Forget it").await;
        turn.opened().await.unwrap();
        if empties {
            chat.service.empty_history(&ana).await.unwrap();
        } else {
            chat.service.remove_conversation(&ana, turn.conversation_id).await.unwrap();
        }
        let (_, ended) = heard(turn.into_events()).await;
        assert!(!ended);
        chat.background.finish().await;
        assert_eq!(chat.history(&ana).await, []);
        assert_eq!((generator.open_streams(), chat.service.running()), (0, 0));
    }
}

#[tokio::test]
async fn an_account_that_is_removed_meanwhile_keeps_nothing() {
    let generator = Arc::new(FakeTextGenerator::following([Step::Text("no".into()), Step::Wait(Gate::shut())]));
    let chat = Chat::with(generator.clone()).await;
    let ana = chat.newcomer().await;
    let mut turn = chat.say(&ana, "Forget me").await;
    turn.opened().await.unwrap();
    let conversation_id = turn.conversation_id;
    ports::UserStore::remove(&*chat.database, ana.user.id).await.unwrap();
    assert!(!heard(turn.into_events()).await.1, "its task finds out within a second");
    chat.background.finish().await;
    assert_eq!(generator.open_streams(), 0);
    let gone = ports::ConversationStore::get(&*chat.database, RecordScope::Everyone, conversation_id).await;
    assert_eq!(gone.unwrap_err(), ports::StoreError::NotFound);
}

#[tokio::test]
async fn the_places_of_a_process_are_counted() {
    let mut settings = Settings::default();
    settings.limits.running_streams = 2;
    let chat = Chat::set(Arc::new(FakeTextGenerator::following([Step::Wait(Gate::shut())])), settings).await;
    let ana = chat.newcomer().await;
    let elsewhere = async || {
        let conversation = chat.service.create_conversation(&ana, ConversationSpec::default()).await.unwrap();
        chat.service.send(&ana, Addressed::Conversation(conversation.id), saying("Hello")).await
    };
    let turn = chat.say(&ana, "One").await;
    elsewhere().await.unwrap();
    let refused = elsewhere().await.map(drop).unwrap_err();
    assert!(matches!(refused, ServiceError::Generation(GenerationError::Overloaded { .. })));
    chat.service.stop(&ana, turn.stream_id).await.unwrap();
    assert_eq!(chat.service.running(), 1, "whoever hears that it has stopped finds its place free");
    chat.say(&ana, "Four").await;
}
