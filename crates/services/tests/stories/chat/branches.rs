//! Editing, answering again, and going back.

use std::sync::Arc;

use domain::ChatRole::{Assistant, User};
use domain::MessageStatus::Done;
use domain::{MessageId, PageLimit, PageRequest};
use services::{Addressed, AnswerRequest, ConversationEdit, ConversationQuery, ConversationSpec, ServiceError};
use test_support::FakeTextGenerator;
use test_support::builders::a_uuid;

use super::support::{Chat, saying};

async fn a_chat() -> Chat {
    Chat::with(Arc::new(FakeTextGenerator::saying(["yes"]))).await
}

#[tokio::test]
async fn an_edit_begins_a_branch_and_the_old_one_stays() {
    let chat = a_chat().await;
    let ana = chat.newcomer().await;
    let first = chat.say(&ana, "One").await.whole().await.unwrap();
    let second = chat.say(&ana, "Two").await.whole().await.unwrap();
    let id = first.user_message.conversation_id;

    let edited = chat.service.edit_message(&ana, id, second.user_message.id, "Zwei".into()).await.unwrap();
    assert_eq!(edited.siblings, [second.user_message.id, edited.message.id]);
    let told = async || chat.history(&ana).await.into_iter().map(|(_, content, _)| content).collect::<Vec<_>>();
    assert_eq!(told().await, ["One", "yes", "Zwei"]);
    let answer = chat.service.regenerate(&ana, id, edited.message.id, AnswerRequest::default()).await.unwrap();
    let answer = answer.whole().await.unwrap();
    assert_eq!(answer.user_message, edited.message);
    assert_eq!(told().await, ["One", "yes", "Zwei", "yes"]);

    let back = ConversationEdit { active_message: Some(second.user_message.id), ..ConversationEdit::default() };
    let conversation = chat.service.change_conversation(&ana, id, back).await.unwrap();
    assert_eq!(conversation.active_message, Some(second.assistant_message.id), "at what was said last there");
    assert_eq!(told().await, ["One", "yes", "Two", "yes"]);
    let page = chat.service.messages(&ana, id, Some(answer.assistant_message.id), PageRequest::default()).await.unwrap();
    assert_eq!(page.messages[2].message.content, "Zwei", "a branch can be read without going there");
    assert_eq!(page.messages[2].siblings, [second.user_message.id, edited.message.id]);
}

#[tokio::test]
async fn an_answer_made_again_stands_beside_the_first() {
    let chat = a_chat().await;
    let ana = chat.newcomer().await;
    let first = chat.say(&ana, "One").await.whole().await.unwrap();
    let id = first.user_message.conversation_id;
    let again = chat.service.regenerate(&ana, id, first.assistant_message.id, AnswerRequest::default()).await.unwrap();
    let again = again.whole().await.unwrap();
    assert_eq!(again.user_message, first.user_message);
    assert_eq!(again.context.messages_used, 1, "the first answer is not given to the model");
    let page = chat.service.history(&ana, PageRequest::default()).await.unwrap();
    assert_eq!(page.messages.len(), 2);
    assert_eq!(page.messages[1].siblings, [first.assistant_message.id, again.assistant_message.id]);
    assert_eq!(page.messages[1].message.id, again.assistant_message.id);
}

#[tokio::test]
async fn what_is_no_message_of_the_conversation_is_not_found() {
    let chat = a_chat().await;
    let ana = chat.newcomer().await;
    let first = chat.say(&ana, "One").await.whole().await.unwrap();
    let other = chat.service.create_conversation(&ana, ConversationSpec::default()).await.unwrap();
    for message in [first.user_message.id, MessageId::new(a_uuid())] {
        let missing = ServiceError::MessageNotFound;
        assert_eq!(chat.service.edit_message(&ana, other.id, message, "x".into()).await.unwrap_err(), missing);
        let again = chat.service.regenerate(&ana, other.id, message, AnswerRequest::default()).await;
        assert_eq!(again.map(drop).unwrap_err(), missing);
        let edit = ConversationEdit { active_message: Some(message), ..ConversationEdit::default() };
        assert_eq!(chat.service.change_conversation(&ana, other.id, edit).await.unwrap_err(), missing);
    }
}

#[tokio::test]
async fn a_history_is_read_back_in_time_a_page_at_a_time() {
    let chat = a_chat().await;
    let ana = chat.newcomer().await;
    for number in 0..5 {
        chat.say(&ana, &format!("{number}")).await.whole().await.unwrap();
    }
    let mut read = Vec::new();
    let mut page = PageRequest { after: None, limit: PageLimit::new(4).unwrap() };
    loop {
        let messages = chat.service.history(&ana, page).await.unwrap();
        let told: Vec<String> = messages.messages.into_iter().map(|view| view.message.content).collect();
        read.insert(0, told);
        let Some(next) = messages.next else { break };
        page.after = Some(next);
    }
    assert_eq!(read, [vec!["0", "yes"], vec!["1", "yes", "2", "yes"], vec!["3", "yes", "4", "yes"]]);
}

#[tokio::test]
async fn conversations_are_named_found_pinned_and_listed() {
    let chat = a_chat().await;
    let ana = chat.newcomer().await;
    let spec = ConversationSpec { title: Some("Dragons".into()), ..ConversationSpec::default() };
    let dragons = chat.service.create_conversation(&ana, spec).await.unwrap();
    let other = chat.service.create_conversation(&ana, ConversationSpec::default()).await.unwrap();
    chat.ask(&ana, &other, "Tell me of the King\nand his daughters").await;
    let found = async |search: Option<&str>, pinned| {
        let query = ConversationQuery { search: search.map(str::to_owned), pinned };
        let page = chat.service.list_conversations(&ana, query, PageRequest::default()).await.unwrap();
        page.items.into_iter().map(|kept| kept.title.unwrap().as_str().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(found(Some("DAUGHTERS"), None).await, ["Tell me of the King"]);
    assert_eq!(found(Some("dragon"), None).await, ["Dragons"]);
    let edit = ConversationEdit { title: Some(Some("Wyrms".into())), pinned: Some(true), ..ConversationEdit::default() };
    chat.service.change_conversation(&ana, dragons.id, edit).await.unwrap();
    assert_eq!(found(None, Some(true)).await, ["Wyrms"]);
    assert_eq!(found(None, Some(false)).await, ["Tell me of the King"]);
    for (spec, field) in [
        (ConversationSpec { title: Some(String::new()), ..ConversationSpec::default() }, "title"),
        (ConversationSpec { system_prompt: Some("x".repeat(1001)), ..ConversationSpec::default() }, "system_prompt"),
    ] {
        let Err(ServiceError::Refused(refusal)) = chat.service.create_conversation(&ana, spec).await else { panic!("{field}") };
        assert_eq!(refusal.field_name(), field);
    }
    chat.service.remove_conversation(&ana, dragons.id).await.unwrap();
    assert_eq!(found(None, None).await, ["Tell me of the King"]);
}

#[tokio::test]
async fn who_goes_on_elsewhere_is_not_called_back_by_an_answer() {
    let chat = a_chat().await;
    let ana = chat.newcomer().await;
    let first = chat.say(&ana, "One").await.whole().await.unwrap();
    let slow = chat.say(&ana, "Two").await;
    let id = first.user_message.conversation_id;
    chat.service.send(&ana, Addressed::Conversation(id), saying("Three")).await.unwrap().whole().await.unwrap();
    slow.whole().await.unwrap();
    let history = chat.history(&ana).await;
    let said: Vec<_> = history.iter().map(|(role, content, status)| (*role, content.as_str(), *status)).collect();
    assert_eq!(said[..2], [(User, "One", Done), (Assistant, "yes", Done)]);
    assert_eq!(said[said.len() - 2..], [(User, "Three", Done), (Assistant, "yes", Done)]);
}
