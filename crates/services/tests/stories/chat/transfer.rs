//! Taking conversations along, and bringing them in.

use std::sync::Arc;

use domain::{ChatRole, MessageStatus, Refusal};
use services::{AnswerRequest, ConversationSpec, ImportedConversation, ImportedMessage, MessageOrder, ServiceError};
use test_support::FakeTextGenerator;

use super::support::{Chat, Exported, Settings, as_imported};

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
    let exported = chat.exported(&ana, id, MessageOrder::Tree).await;
    assert_eq!(exported.messages.len(), 3);
    assert_eq!(chat.all_exported(&ana).await, std::slice::from_ref(&exported));
    let branch = chat.exported(&ana, id, MessageOrder::ActiveBranch).await;
    assert_eq!(branch.messages, [exported.messages[0].clone(), exported.messages[2].clone()]);

    let kept = chat.service.import(&ben, vec![as_imported(&exported)]).await.unwrap();
    let copy = chat.exported(&ben, kept[0].id, MessageOrder::Tree).await;
    let copied_branch = chat.exported(&ben, kept[0].id, MessageOrder::ActiveBranch).await;
    assert_eq!(copied_branch.messages[1].id, copy.messages[2].id);
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
    assert_eq!(chat.all_exported(&ana).await, []);
}

#[tokio::test]
async fn an_import_is_kept_whole_or_not_at_all() {
    let mut settings = Settings::default();
    settings.limits.user_conversations = 3;
    let chat = Chat::set(Arc::new(FakeTextGenerator::saying(["yes"])), settings).await;
    let ana = chat.newcomer().await;
    chat.say(&ana, "Hello").await.whole().await.unwrap();
    let refused = |result: Result<(), ServiceError>| match result {
        Err(ServiceError::Refused(refusal)) => refusal.field_name().to_owned(),
        other => panic!("{other:?}"),
    };
    let one = || imported(vec![message(None, None, ChatRole::User, "a")]);
    let imported = chat.service.import(&ana, vec![one(), one(), one()]).await;
    assert_eq!(refused(imported.map(drop)), "conversations");
    assert_eq!(chat.all_exported(&ana).await.len(), 1, "nothing of it is kept");
    chat.service.import(&ana, vec![one(), one()]).await.unwrap();
    let created = chat.service.create_conversation(&ana, ConversationSpec::default()).await;
    assert_eq!(refused(created.map(drop)), "conversations");
    chat.say(&ana, "And the default one goes on").await.whole().await.unwrap();
}

/// Longer than a page of what is read at a time.
#[tokio::test]
async fn a_long_conversation_is_taken_along_a_page_at_a_time() {
    let chat = Chat::with(Arc::new(FakeTextGenerator::saying(["yes"]))).await;
    let ana = chat.newcomer().await;
    let mut messages: Vec<_> = (0..250)
        .map(|number| {
            let parent = (number > 0).then(|| (number - 1).to_string());
            message(Some(&number.to_string()), parent.as_deref(), ChatRole::User, &number.to_string())
        })
        .collect();
    messages.push(message(Some("aside"), Some("99"), ChatRole::User, "aside"));
    let long = ImportedConversation { active_message: Some("249".into()), ..imported(messages) };
    let kept = chat.service.import(&ana, vec![long]).await.unwrap();
    let contents = |messages: &[domain::Message]| -> Vec<String> { messages.iter().map(|kept| kept.content.clone()).collect() };
    let expected: Vec<String> = (0..250).map(|number| number.to_string()).collect();
    let branch = chat.exported(&ana, kept[0].id, MessageOrder::ActiveBranch).await;
    assert_eq!(contents(&branch.messages), expected);
    let tree = chat.exported(&ana, kept[0].id, MessageOrder::Tree).await;
    assert_eq!((tree.messages.len(), tree.active_message), (251, kept[0].active_message));
    assert!(tree.messages.windows(2).all(|pair| pair[0].depth <= pair[1].depth));
    chat.service.import(&ana, vec![as_imported(&tree)]).await.unwrap();
}

#[tokio::test]
async fn what_changes_while_it_is_taken_along_can_be_brought_in_all_the_same() {
    let chat = Chat::with(Arc::new(FakeTextGenerator::saying(["yes"]))).await;
    let ana = chat.newcomer().await;
    let roots = (0..100).map(|number| message(Some(&number.to_string()), None, ChatRole::User, "root"));
    let child = message(Some("100"), Some("0"), ChatRole::User, "child");
    let kept = chat.service.import(&ana, vec![imported(roots.chain([child]).collect())]).await.unwrap();
    let id = kept[0].id;
    let mut reader = chat.service.read_conversation(&ana, id, MessageOrder::Tree).await.unwrap();
    let mut messages = reader.next().await.unwrap();
    assert_eq!(messages.len(), 100);
    // A branch begins where was read already, and goes on where was not.
    let edited = chat.service.edit_message(&ana, id, messages[0].id, "edited".into()).await.unwrap().message;
    let answered = chat.service.regenerate(&ana, id, edited.id, AnswerRequest::default()).await.unwrap().whole().await.unwrap();
    loop {
        let page = reader.next().await.unwrap();
        if page.is_empty() {
            break;
        }
        messages.extend(page);
    }
    let late = messages.iter().find(|kept| kept.id == answered.assistant_message.id).expect("what was added later is read");
    let known = |parent: Option<domain::MessageId>| parent.is_none_or(|parent| messages.iter().any(|kept| kept.id == parent));
    assert!(known(late.parent_id) && messages.iter().all(|kept| known(kept.parent_id)), "nothing hangs from what is not there");
    let exported = Exported { conversation: kept[0].clone(), messages, active_message: reader.active_message() };
    chat.service.import(&ana, vec![as_imported(&exported)]).await.unwrap();
}
