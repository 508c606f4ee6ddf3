//! Taking conversations along, and bringing them in.

use std::sync::Arc;

use domain::{ChatRole, MessageStatus, PageRequest, Refusal};
use services::{AnswerRequest, ImportedConversation, ImportedMessage, ServiceError};
use test_support::FakeTextGenerator;

use super::support::Chat;

fn message(id: Option<&str>, parent: Option<&str>, role: ChatRole, content: &str) -> ImportedMessage {
    ImportedMessage {
        id: id.map(str::to_owned),
        parent: parent.map(str::to_owned),
        role,
        content: content.into(),
        status: MessageStatus::Done,
        model: None,
        created_at: None,
    }
}

fn imported(messages: Vec<ImportedMessage>) -> ImportedConversation {
    ImportedConversation { messages, ..ImportedConversation::default() }
}

#[tokio::test]
async fn what_is_taken_along_can_be_brought_in_with_all_its_branches() {
    let chat = Chat::with(Arc::new(FakeTextGenerator::saying(["yes\nindeed"]))).await;
    let (ana, ben) = (chat.newcomer().await, chat.newcomer().await);
    let first = chat.say(&ana, "One").await.whole().await.unwrap();
    let id = first.user_message.conversation_id;
    let again = chat.service.regenerate(&ana, id, first.assistant_message.id, AnswerRequest::default()).await.unwrap();
    again.whole().await.unwrap();
    let exported = chat.service.export_conversation(&ana, id).await.unwrap();
    assert_eq!(exported.messages.len(), 3);
    assert_eq!(
        exported.to_markdown(),
        "# One\n\n## User, 2026-01-01 12:00:00 UTC\n\nOne\n\n## Assistant, 2026-01-01 12:00:00 UTC\n\nyes\nindeed\n"
    );
    let all = chat.service.export_page(&ana, PageRequest::default()).await.unwrap();
    assert_eq!(all.items, std::slice::from_ref(&exported));

    let messages = exported.messages.iter().map(|kept| ImportedMessage {
        id: Some(kept.id.to_string()),
        parent: kept.parent_id.map(|id| id.to_string()),
        role: kept.role,
        content: kept.content.clone(),
        status: kept.status,
        model: kept.model.as_ref().map(ToString::to_string),
        created_at: Some(kept.created_at),
    });
    let active_message = exported.conversation.active_message.map(|id| id.to_string());
    let brought = ImportedConversation { title: Some("One".into()), active_message, ..imported(messages.collect()) };
    let kept = chat.service.import(&ben, vec![brought]).await.unwrap();
    let copy = chat.service.export_conversation(&ben, kept[0].id).await.unwrap();
    assert_eq!(copy.to_markdown(), exported.to_markdown());
    let shape = |messages: &[domain::Message]| -> Vec<_> {
        messages.iter().map(|kept| (kept.depth, kept.role, kept.content.clone(), kept.status, kept.created_at)).collect()
    };
    assert_eq!(shape(&copy.messages), shape(&exported.messages));
    assert!(copy.messages.iter().all(|kept| exported.messages.iter().all(|other| other.id != kept.id)), "with names of its own");
}

#[tokio::test]
async fn a_plain_list_of_messages_is_one_branch() {
    let chat = Chat::with(Arc::new(FakeTextGenerator::saying(["yes"]))).await;
    let ana = chat.newcomer().await;
    let list = imported(vec![message(None, None, ChatRole::User, "a"), message(None, None, ChatRole::Assistant, "b")]);
    let kept = chat.service.import(&ana, vec![list]).await.unwrap();
    assert_eq!(kept[0].title.as_ref().unwrap().as_str(), "a");
    let answer = chat.ask(&ana, &kept[0], "c").await;
    assert_eq!(answer.context.messages_used, 3);
}

#[tokio::test]
async fn what_cannot_be_a_conversation_is_refused_and_nothing_of_it_is_kept() {
    let chat = Chat::with(Arc::new(FakeTextGenerator::saying(["yes"]))).await;
    let ana = chat.newcomer().await;
    let user = ChatRole::User;
    let refused = [
        (imported(vec![message(Some("1"), Some("2"), user, "a"), message(Some("2"), None, user, "b")]), "parent_id"),
        (imported(vec![message(Some("1"), None, user, "a"), message(Some("1"), None, user, "b")]), "id"),
        (imported(vec![message(None, None, ChatRole::System, "a")]), "role"),
        (imported(vec![message(None, None, user, &"x".repeat(1001))]), "prompt"),
        (imported(vec![message(None, None, user, "a"); 1001]), "messages"),
        (ImportedConversation { active_message: Some("9".into()), ..imported(Vec::new()) }, "active_message_id"),
    ];
    for (wrong, field) in refused {
        let good = imported(vec![message(None, None, user, "good")]);
        let Err(ServiceError::Refused(refusal)) = chat.service.import(&ana, vec![good, wrong]).await else { panic!("{field}") };
        assert_eq!(refusal.field_name(), field);
    }
    let many = vec![imported(Vec::new()); 11];
    assert!(matches!(
        chat.service.import(&ana, many).await,
        Err(ServiceError::Refused(Refusal::Field { field: "conversations", .. }))
    ));
    assert_eq!(chat.service.export_page(&ana, PageRequest::default()).await.unwrap().items, []);
}
