//! What a model is asked with: a contract, message by message.

use std::sync::Arc;

use domain::ChatRole::{self, Assistant, System, User};
use domain::{ContextUse, Conversation, Memory};
use ports::{GenerationInput, GeneratorDescription, Priority};
use services::{Addressed, AnswerRequest, ChatRequest, ConversationEdit, ConversationSpec};
use test_support::{FakeTextGenerator, Gate, Step};

use super::support::{Chat, Settings, saying, saying_within};

/// A model that says "yes indeed" and has a context of so many tokens: one a word, and one a message.
fn model(context_length: u32, answers_chats: bool) -> Arc<FakeTextGenerator> {
    let description = GeneratorDescription { context_length, weights_digest: None, reproducible: true, answers_chats };
    Arc::new(FakeTextGenerator::saying(["yes", " indeed"]).described_as(description))
}

/// What the model was asked with, request by request.
fn asked(model: &FakeTextGenerator) -> Vec<Vec<(ChatRole, String)>> {
    let messages = |input: GenerationInput| match input {
        GenerationInput::Chat(messages) => messages.into_iter().map(|message| (message.role, message.content)).collect(),
        GenerationInput::Text(_) => panic!("a chat asks with a chat"),
    };
    model.requests().into_iter().map(|request| messages(request.input)).collect()
}

fn told(role: ChatRole, content: &str) -> (ChatRole, String) {
    (role, content.to_owned())
}

async fn a_conversation(chat: &Chat, caller: &services::Caller, spec: ConversationSpec) -> Conversation {
    chat.service.create_conversation(caller, spec).await.unwrap()
}

fn told_kindly() -> ConversationSpec {
    ConversationSpec { system_prompt: Some("Be kind".into()), ..ConversationSpec::default() }
}

#[tokio::test]
async fn the_model_is_given_the_system_prompt_and_all_that_was_said() {
    let model = model(1000, false);
    let chat = Chat::with(model.clone()).await;
    let ana = chat.newcomer().await;
    let conversation = a_conversation(&chat, &ana, told_kindly()).await;
    chat.ask(&ana, &conversation, "One").await;
    let second = chat.ask(&ana, &conversation, "Two").await;
    assert_eq!(asked(&model)[1], [told(System, "Be kind"), told(User, "One"), told(Assistant, "yes indeed"), told(User, "Two")]);
    assert_eq!(second.context, ContextUse { messages_used: 3, messages_dropped: 0, prompt_tokens: 10 });
}

#[tokio::test]
async fn the_oldest_turns_are_dropped_whole_and_the_system_prompt_never() {
    // 24 tokens for the conversation, the rest is the answer's.
    let model = model(34, false);
    let chat = Chat::with(model.clone()).await;
    let ana = chat.newcomer().await;
    let conversation = a_conversation(&chat, &ana, told_kindly()).await;
    let ask = async |content: &str| {
        let addressed = Addressed::Conversation(conversation.id);
        chat.service.send(&ana, addressed, saying_within(content, 10)).await.unwrap().whole().await.unwrap().context
    };
    // The system prompt takes 3, a turn 3 + 3, the question 3.
    for number in 0..3 {
        assert_eq!(ask("say yes").await.messages_dropped, 0, "turn {number}");
    }
    assert_eq!(ask("say yes").await, ContextUse { messages_used: 7, messages_dropped: 0, prompt_tokens: 24 });
    assert_eq!(ask("say yes").await, ContextUse { messages_used: 7, messages_dropped: 2, prompt_tokens: 24 });
    assert_eq!(ask("now a word more").await, ContextUse { messages_used: 5, messages_dropped: 6, prompt_tokens: 20 });
    let last = asked(&model).pop().unwrap();
    let turn = [told(User, "say yes"), told(Assistant, "yes indeed")];
    assert_eq!(last, [&[told(System, "Be kind")], turn.as_slice(), turn.as_slice(), &[told(User, "now a word more")]].concat());
    let refused = chat.service.send(&ana, Addressed::Conversation(conversation.id), saying_within(&"word ".repeat(40), 10)).await;
    assert!(refused.unwrap().whole().await.is_err(), "what does not fit alone is refused with its counts");
}

#[tokio::test]
async fn what_was_said_elsewhere_or_is_not_wanted_is_not_given() {
    let model = model(1000, false);
    let settings = Settings { system_prompt: "Be brief", ..Settings::default() };
    let chat = Chat::set(model.clone(), settings).await;
    let ana = chat.newcomer().await;
    chat.say(&ana, "One").await.whole().await.unwrap();
    let alone = ChatRequest { use_context: false, ..saying("Two") };
    let answer = chat.service.send(&ana, Addressed::Default, alone).await.unwrap().whole().await.unwrap();
    assert_eq!(asked(&model)[1], [told(System, "Be brief"), told(User, "Two")]);
    assert_eq!(answer.context, ContextUse { messages_used: 1, messages_dropped: 0, prompt_tokens: 5 });
    let silent = ConversationSpec { system_prompt: Some(String::new()), ..ConversationSpec::default() };
    let other = a_conversation(&chat, &ana, silent).await;
    chat.ask(&ana, &other, "Three").await;
    assert_eq!(asked(&model)[2], [told(User, "Three")], "its own system prompt is empty, and it is another conversation");
    assert_eq!(chat.history(&ana).await.len(), 4, "what was said without the context is part of the conversation");
}

#[tokio::test]
async fn an_answer_that_was_cut_is_given_as_far_as_it_came() {
    let generator = Arc::new(FakeTextGenerator::following([Step::Wait(Gate::shut())]));
    let chat = Chat::with(generator.clone()).await;
    let ana = chat.newcomer().await;
    let mut turn = chat.say(&ana, "One").await;
    while generator.open_streams() == 0 {
        tokio::task::yield_now().await;
    }
    turn.opened().await.unwrap();
    chat.service.stop(&ana, turn.stream_id).await.unwrap();
    generator.follow([Step::Text("yes".into())]);
    chat.say(&ana, "Two").await.whole().await.unwrap();
    assert_eq!(asked(&generator)[1], [told(User, "One\n\nTwo")], "nothing was said in between, so two questions are one");
    chat.say(&ana, "Three").await.whole().await.unwrap();
    assert_eq!(asked(&generator)[2], [told(User, "One\n\nTwo"), told(Assistant, "yes"), told(User, "Three")]);
}

#[tokio::test]
async fn a_summary_by_the_model_stands_for_what_was_dropped() {
    let model = model(200, false);
    let chat = Chat::with(model.clone()).await;
    let ana = chat.newcomer().await;
    let spec = ConversationSpec { memory: Some(Memory::Summary), ..told_kindly() };
    let conversation = a_conversation(&chat, &ana, spec).await;
    let ask = async || {
        let (addressed, content) = (Addressed::Conversation(conversation.id), format!("say{}", " yes".repeat(40)));
        chat.service.send(&ana, addressed, saying_within(&content, 10)).await.unwrap().whole().await.unwrap().context
    };
    // 190 tokens for the conversation: 3 for the system prompt, 45 a turn.
    for number in 0..4 {
        assert_eq!(ask().await.messages_dropped, 0, "turn {number}");
    }
    assert_eq!(asked(&model).len(), 4, "as long as everything fits there is no summary");
    // 47 less where a summary is to have room; with it, this takes 3 and 8 and 2 * 45 and 42.
    assert_eq!(ask().await, ContextUse { messages_used: 5, messages_dropped: 4, prompt_tokens: 143 });
    let requests = model.requests();
    assert_eq!((requests.len(), requests[4].priority, requests[5].priority), (6, Priority::Batch, Priority::Interactive));
    let question = &asked(&model)[4][1].1;
    assert_eq!(question.matches("yes yes\nassistant: yes indeed\n").count(), 2, "{question}");
    let (last, told_first) = (asked(&model).pop().unwrap(), "Be kind\n\nWhat was said before, in short:\nyes indeed");
    assert_eq!(last[0], told(System, told_first));
    assert_eq!(last.len(), 6);
    let kept = chat.service.conversation(&ana, conversation.id).await.unwrap().summary.unwrap();
    assert_eq!(kept.text, "yes indeed");

    assert_eq!(ask().await.messages_dropped, 6);
    let question = &asked(&model)[6][1].1;
    assert!(
        question.starts_with("What was said before, in short:\nyes indeed\n"),
        "the old summary is part of the new: {question}"
    );
    assert_eq!(question.matches("assistant: ").count(), 1, "and only what it does not speak of yet is beside it");
    chat.background.finish().await;
    assert_eq!(chat.limits.usage(&ana).await.unwrap().tokens.reserved, 0);
}

#[tokio::test]
async fn a_model_that_answers_chats_summarises_unless_it_is_told_not_to_and_any_other_only_if_it_is() {
    for (answers_chats, memory, expected) in
        [(true, None, true), (true, Some(Memory::Newest), false), (false, None, false), (false, Some(Memory::Summary), true)]
    {
        let model = model(40, answers_chats);
        let chat = Chat::with(model.clone()).await;
        let ana = chat.newcomer().await;
        let conversation = a_conversation(&chat, &ana, ConversationSpec::default()).await;
        let edit = ConversationEdit { memory: Some(memory), ..ConversationEdit::default() };
        chat.service.change_conversation(&ana, conversation.id, edit).await.unwrap();
        for _ in 0..8 {
            let addressed = Addressed::Conversation(conversation.id);
            chat.service.send(&ana, addressed, saying_within("say yes", 10)).await.unwrap().whole().await.unwrap();
        }
        let summarised = model.requests().iter().any(|request| request.priority == Priority::Batch);
        assert_eq!(summarised, expected, "{answers_chats} {memory:?}");
    }
}

#[tokio::test]
async fn a_message_decides_how_it_is_answered_then_its_conversation_then_the_model() {
    let model = model(1000, false);
    let chat = Chat::with(model.clone()).await;
    let ana = chat.newcomer().await;
    let parameters = domain::SamplingRequest { temperature: Some(0.1), seed: Some(7), ..Default::default() };
    let conversation = a_conversation(&chat, &ana, ConversationSpec { parameters, ..ConversationSpec::default() }).await;
    let sampling = domain::SamplingRequest { temperature: Some(0.2), ..Default::default() };
    let request = ChatRequest { answer: AnswerRequest { model: None, sampling }, ..saying("Hello") };
    chat.service.send(&ana, Addressed::Conversation(conversation.id), request).await.unwrap().whole().await.unwrap();
    let used = &model.requests()[0].parameters;
    assert_eq!((used.temperature, used.seed.get(), used.top_p), (0.2, 7, 0.95));
    assert_eq!(used.length, domain::LengthLimit::New(200), "the model's total is for the answer alone");
}
