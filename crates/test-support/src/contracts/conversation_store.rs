//! What a [`ConversationStore`](ports::ConversationStore) promises.

use chrono::TimeDelta;
use domain::{
    ChatRole, Conversation, ConversationId, ConversationSummary, ConversationTitle, Memory, Message, MessageId, MessageStatus,
    ModelName, PageRequest, SamplingRequest, SearchText, TokenUsage, UserId,
};
use ports::{ConversationChange, ConversationFilter, MessagePlace, NewConversation, RecordScope, StoreError};

use super::{Stores, all_at_once, all_pages, error_of};
use crate::builders::{a_chat_stream, a_conversation, a_message, a_time, a_user_id, a_uuid};

const EVERYONE: RecordScope = RecordScope::Everyone;
const MANY: u32 = 1000;

async fn a_kept_conversation(stores: &Stores) -> Conversation {
    let conversation = a_conversation(stores.add_a_user().await.id);
    stores.add_conversation(&conversation, Vec::new()).await;
    conversation
}

/// Adds a message that follows another, and answers it.
async fn say(stores: &Stores, conversation: &Conversation, parent: Option<&Message>) -> Message {
    let message = a_message(conversation.id, parent);
    stores.conversations.add_message(conversation.user_id, message.clone(), MANY).await.unwrap();
    message
}

async fn read(stores: &Stores, conversation: &Conversation) -> Conversation {
    stores.conversations.get(EVERYONE, conversation.id).await.unwrap()
}

fn ids(messages: &[Message]) -> Vec<MessageId> {
    messages.iter().map(|message| message.id).collect()
}

/// A conversation with something unusual in every field, and every field present; and its one message.
fn an_unusual_conversation(user_id: UserId) -> (Conversation, Message) {
    let empty = a_conversation(user_id);
    let message = Message {
        role: ChatRole::Assistant,
        content: "\0 \u{10} 'x' \"y\" 🐉\r\n".into(),
        status: MessageStatus::Interrupted,
        model: Some(ModelName::new("ORG/name:8b").unwrap()),
        usage: Some(TokenUsage { prompt_tokens: u32::MAX, completion_tokens: 0 }),
        created_at: a_time() + TimeDelta::microseconds(7),
        ..a_message(empty.id, None)
    };
    let conversation = Conversation {
        title: Some(ConversationTitle::new("Ñandú 🐉 100%_").unwrap()),
        system_prompt: Some("Be \0 kind".into()),
        model: Some(ModelName::new("default").unwrap()),
        parameters: SamplingRequest {
            temperature: Some(0.1 + 0.2),
            stop: vec!["\0".into()],
            seed: Some(i64::MAX),
            ..SamplingRequest::default()
        },
        memory: Some(Memory::Summary),
        pinned: true,
        active_message: Some(message.id),
        summary: Some(ConversationSummary { text: "They \0 met".into(), up_to: message.id }),
        updated_at: a_time() + TimeDelta::microseconds(999_999),
        ..empty
    };
    (conversation, message)
}

/// To the last bit.
pub async fn a_conversation_and_its_messages_come_back_as_they_were_added(stores: &Stores) {
    let user = stores.add_a_user().await;
    let plain = a_conversation(user.id);
    let (unusual, message) = an_unusual_conversation(user.id);
    for (conversation, messages) in [(plain, Vec::new()), (unusual, vec![message])] {
        stores.add_conversation(&conversation, messages.clone()).await;
        assert!(stores.conversations.get(RecordScope::Of(user.id), conversation.id).await.unwrap() == conversation);
        assert!(stores.all_messages(conversation.id).await == messages);
    }
}

/// The account may be removed at any time.
pub async fn a_conversation_of_nobody_is_not_kept(stores: &Stores) {
    let conversation = a_conversation(a_user_id());
    let new = NewConversation { conversation: conversation.clone(), messages: Vec::new() };
    assert_eq!(error_of(stores.conversations.add_all(conversation.user_id, vec![new], MANY).await), StoreError::NotFound);
    assert_eq!(stores.conversations.find_default(conversation.user_id).await.unwrap(), None);
    assert_eq!(error_of(stores.conversations.default_of(conversation.clone()).await), StoreError::NotFound);
    assert_eq!(error_of(stores.conversations.get(EVERYONE, conversation.id).await), StoreError::NotFound);
}

/// A phone and a browser that begin at once talk in the same conversation.
pub async fn of_many_who_ask_for_the_default_conversation_at_once_all_get_the_same(stores: &Stores) {
    let (user, other) = (stores.add_a_user().await, stores.add_a_user().await);
    let ask = || {
        let (conversations, user_id) = (stores.conversations.clone(), user.id);
        async move { conversations.default_of(a_conversation(user_id)).await.unwrap() }
    };
    let got = all_at_once(16, ask).await;
    assert!(got[0].is_default && got.iter().all(|conversation| *conversation == got[0]));
    assert_eq!(stores.conversations.find_default(user.id).await.unwrap().as_ref(), Some(&got[0]));
    assert_eq!(stores.conversations.find_default(other.id).await.unwrap(), None);
    assert_ne!(stores.conversations.default_of(a_conversation(other.id)).await.unwrap().id, got[0].id);
}

/// Nothing tells whether it is there.
pub async fn anothers_conversation_looks_like_none(stores: &Stores) {
    let conversation = a_kept_conversation(stores).await;
    let message = say(stores, &conversation, None).await;
    let stranger = stores.add_a_user().await.id;
    let nowhere = ConversationId::new(a_uuid());
    for (user_id, id) in [(stranger, conversation.id), (conversation.user_id, nowhere)] {
        let scope = RecordScope::Of(user_id);
        let change = ConversationChange { pinned: Some(true), ..ConversationChange::default() };
        assert_eq!(error_of(stores.conversations.get(scope, id).await), StoreError::NotFound);
        assert_eq!(error_of(stores.conversations.change(user_id, id, change, a_time()).await), StoreError::NotFound);
        assert_eq!(error_of(stores.conversations.remove(scope, id).await), StoreError::NotFound);
        assert_eq!(error_of(stores.conversations.empty(user_id, id, a_time()).await), StoreError::NotFound);
        assert_eq!(error_of(stores.conversations.message(scope, id, message.id).await), StoreError::NotFound);
        let added = stores.conversations.add_message(user_id, a_message(id, None), MANY).await;
        assert_eq!(error_of(added), StoreError::NotFound);
    }
    assert_eq!(ids(&stores.all_messages(conversation.id).await), [message.id]);
}

/// The one in which something happened last comes first.
pub async fn conversations_are_listed_by_their_last_activity_a_page_at_a_time(stores: &Stores) {
    let user = stores.add_a_user().await;
    a_kept_conversation(stores).await;
    let mut expected = Vec::new();
    for number in 0..7 {
        let at = a_time() + TimeDelta::microseconds(number / 3);
        let conversation = Conversation { updated_at: at, ..a_conversation(user.id) };
        stores.add_conversation(&conversation, Vec::new()).await;
        expected.insert(0, conversation);
    }
    for limit in [1, 2, 3, 7, 200] {
        let list = |page| stores.conversations.list(user.id, ConversationFilter::default(), page);
        assert!(all_pages(limit, list).await == expected, "pages of {limit}");
    }
    let touched = expected.pop().unwrap();
    let change = ConversationChange { pinned: Some(true), ..ConversationChange::default() };
    let later = a_time() + TimeDelta::seconds(1);
    let touched = stores.conversations.change(user.id, touched.id, change, later).await.unwrap();
    let first = stores.conversations.list(user.id, ConversationFilter::default(), PageRequest::default()).await.unwrap();
    assert!(first.items[0] == touched && touched.updated_at == later);
    let pinned = ConversationFilter { pinned: Some(true), ..ConversationFilter::default() };
    let listed = stores.conversations.list(user.id, pinned, PageRequest::default()).await.unwrap();
    assert!(listed.items == [touched]);
}

/// All or none, and no more than a user may have, however many ask at once.
pub async fn conversations_are_added_all_or_none_up_to_a_number(stores: &Stores) {
    let user = stores.add_a_user().await;
    let new = |count: usize| -> Vec<NewConversation> {
        let one = |_| {
            let conversation = a_conversation(user.id);
            NewConversation { messages: vec![a_message(conversation.id, None)], conversation }
        };
        (0..count).map(one).collect()
    };
    let listed = async || stores.conversations.list_as_begun(user.id, None, MANY).await.unwrap();
    stores.conversations.add_all(user.id, new(3), 8).await.unwrap();
    assert_eq!(error_of(stores.conversations.add_all(user.id, new(6), 8).await), StoreError::Conflict { field: "conversations" });
    let mut twice = new(2);
    twice.push(twice[0].clone());
    assert!(stores.conversations.add_all(user.id, twice.clone(), 8).await.is_err(), "the third cannot be kept");
    assert_eq!(listed().await.len(), 3);
    assert_eq!(stores.all_messages(twice[0].conversation.id).await, []);
    let add = || {
        let (conversations, new, user_id) = (stores.conversations.clone(), new(2), user.id);
        async move { conversations.add_all(user_id, new, 8).await }
    };
    let added = all_at_once(8, add).await;
    assert_eq!(added.iter().filter(|result| result.is_ok()).count(), 2, "{added:?}");
    assert_eq!(listed().await.len(), 7);
}

/// Whatever happens in them meanwhile.
pub async fn conversations_are_listed_as_they_were_begun_a_page_at_a_time(stores: &Stores) {
    let user = stores.add_a_user().await;
    a_kept_conversation(stores).await;
    let begun: Vec<Conversation> = (0..5).map(|_| a_conversation(user.id)).collect();
    for conversation in begun.iter().rev() {
        stores.add_conversation(conversation, Vec::new()).await;
    }
    let page = async |after: Option<ConversationId>| stores.conversations.list_as_begun(user.id, after, 2).await.unwrap();
    assert!(page(None).await == begun[..2]);
    say(stores, &begun[0], None).await;
    say(stores, &begun[3], None).await;
    let second = page(Some(begun[1].id)).await;
    assert_eq!(second.iter().map(|kept| kept.id).collect::<Vec<_>>(), [begun[2].id, begun[3].id]);
    assert!(page(Some(begun[3].id)).await == begun[4..]);
    assert!(page(Some(begun[4].id)).await.is_empty());
}

/// In titles and messages, on any branch, in whatever case, and every character as itself.
pub async fn a_search_finds_what_was_said(stores: &Stores) {
    let user = stores.add_a_user().await;
    let (unusual, message) = an_unusual_conversation(user.id);
    stores.add_conversation(&unusual, vec![message]).await;
    let other = Conversation { updated_at: a_time() - TimeDelta::seconds(1), ..a_conversation(user.id) };
    let said = Message { content: "El ÁRBOL de 1000 años \\o/".into(), ..a_message(other.id, None) };
    stores.add_conversation(&other, vec![said]).await;
    let found = async |text: &str| {
        let filter = ConversationFilter { search: Some(SearchText::new(text).unwrap()), pinned: None };
        let page = stores.conversations.list(user.id, filter, PageRequest::default()).await.unwrap();
        page.items.iter().map(|conversation| conversation.id).collect::<Vec<_>>()
    };
    assert_eq!(found("ñANDÚ").await, [unusual.id]);
    assert_eq!(found("árbol").await, [other.id]);
    assert_eq!(found("100%_").await, [unusual.id], "what stands for anything in a pattern stands for itself");
    assert_eq!(found("\\o/").await, [other.id]);
    assert_eq!(found("100").await, [unusual.id, other.id]);
    assert_eq!(found("_").await, [unusual.id]);
    assert_eq!(found("dragon").await, []);
    let stranger = stores.add_a_user().await;
    let filter = ConversationFilter { search: Some(SearchText::new("a").unwrap()), pinned: None };
    assert!(stores.conversations.list(stranger.id, filter, PageRequest::default()).await.unwrap().items.is_empty());
}

/// What a change makes of a conversation, with values from another one.
type Expect = fn(&mut Conversation, &Conversation);

/// Field by field, and back to nothing.
pub async fn a_change_changes_what_it_names_and_nothing_else(stores: &Stores) {
    let conversation = a_kept_conversation(stores).await;
    let (unusual, _) = an_unusual_conversation(conversation.user_id);
    let message = say(stores, &conversation, None).await;
    let mut expected = read(stores, &conversation).await;
    assert_eq!(expected.active_message, Some(message.id));
    let wishes: [(ConversationChange, Expect); 5] = [
        (ConversationChange { title: Some(unusual.title.clone()), ..ConversationChange::default() }, |c, u| {
            c.title.clone_from(&u.title);
        }),
        (ConversationChange { system_prompt: Some(Some(String::new())), ..ConversationChange::default() }, |c, _| {
            c.system_prompt = Some(String::new());
        }),
        (
            ConversationChange {
                model: Some(unusual.model.clone()),
                memory: Some(unusual.memory),
                ..ConversationChange::default()
            },
            |c, u| {
                (c.model, c.memory) = (u.model.clone(), u.memory);
            },
        ),
        (
            ConversationChange {
                parameters: Some(unusual.parameters.clone()),
                pinned: Some(true),
                ..ConversationChange::default()
            },
            |c, u| {
                (c.parameters, c.pinned) = (u.parameters.clone(), true);
            },
        ),
        (
            ConversationChange {
                title: Some(None),
                system_prompt: Some(None),
                model: Some(None),
                memory: Some(None),
                ..ConversationChange::default()
            },
            |c, _| (c.title, c.system_prompt, c.model, c.memory) = (None, None, None, None),
        ),
    ];
    for (number, (change, expect)) in wishes.into_iter().enumerate() {
        let now = a_time() + TimeDelta::seconds(i64::try_from(number).unwrap());
        expect(&mut expected, &unusual);
        expected.updated_at = now;
        let changed = stores.conversations.change(conversation.user_id, conversation.id, change, now).await.unwrap();
        assert!(changed == expected && read(stores, &conversation).await == expected, "change {number}");
    }
    let elsewhere = a_kept_conversation(stores).await;
    let foreign = say(stores, &elsewhere, None).await;
    let change = ConversationChange { active_message: Some(foreign.id), pinned: Some(false), ..ConversationChange::default() };
    let refused = stores.conversations.change(conversation.user_id, conversation.id, change, a_time()).await;
    assert_eq!(error_of(refused), StoreError::Conflict { field: "active_message" });
    assert!(read(stores, &conversation).await == expected, "nothing was changed");
}

/// From the end back, across branches.
pub async fn a_branch_is_read_from_its_end(stores: &Stores) {
    let conversation = a_kept_conversation(stores).await;
    let mut main = vec![say(stores, &conversation, None).await];
    for _ in 0..6 {
        main.push(say(stores, &conversation, main.last()).await);
    }
    let aside = say(stores, &conversation, Some(&main[2])).await;
    let beside = say(stores, &conversation, Some(&aside)).await;
    let branch = async |leaf: &Message, limit| stores.conversations.branch(conversation.id, leaf.id, limit).await.unwrap();
    assert!(branch(&main[6], MANY).await == main);
    assert!(branch(&main[6], 3).await == main[4..]);
    assert!(branch(&main[6], 1).await == main[6..]);
    assert_eq!(branch(&main[6], 0).await, []);
    assert_eq!(ids(&branch(&beside, MANY).await), [main[0].id, main[1].id, main[2].id, aside.id, beside.id]);
    assert_eq!(stores.conversations.branch(conversation.id, MessageId::new(a_uuid()), 9).await.unwrap(), []);
    let elsewhere = a_kept_conversation(stores).await;
    assert_eq!(stores.conversations.branch(elsewhere.id, main[6].id, 9).await.unwrap(), [], "not of that conversation");

    assert_eq!(read(stores, &conversation).await.active_message, Some(beside.id), "what was said last");
    let newest = async |message: &Message| stores.conversations.newest_leaf_below(conversation.id, message.id).await.unwrap();
    assert_eq!((newest(&main[0]).await, newest(&main[3]).await, newest(&beside).await), (beside.id, main[6].id, beside.id));
    let following = stores.conversations.following(conversation.id, vec![None, Some(main[2].id)]).await.unwrap();
    assert_eq!(following, [(None, main[0].id), (Some(main[2].id), main[3].id), (Some(main[2].id), aside.id)]);
    assert_eq!(stores.conversations.following(conversation.id, vec![Some(beside.id)]).await.unwrap(), []);
}

/// Nothing hangs in the air, and a conversation has an end.
pub async fn a_message_needs_its_parent_and_room(stores: &Stores) {
    let (conversation, elsewhere) = (a_kept_conversation(stores).await, a_kept_conversation(stores).await);
    let first = say(stores, &conversation, None).await;
    let orphan = Message { parent_id: Some(MessageId::new(a_uuid())), ..a_message(conversation.id, None) };
    let astray = Message { conversation_id: elsewhere.id, ..a_message(conversation.id, Some(&first)) };
    for (user_id, message) in [(conversation.user_id, orphan), (elsewhere.user_id, astray)] {
        assert_eq!(error_of(stores.conversations.add_message(user_id, message, MANY).await), StoreError::NotFound);
    }
    let one_more = a_message(conversation.id, Some(&first));
    let refused = stores.conversations.add_message(conversation.user_id, one_more, 1).await;
    assert_eq!(error_of(refused), StoreError::Conflict { field: "messages" });
    assert_eq!(ids(&stores.all_messages(conversation.id).await), [first.id]);
}

/// With its running answers; other conversations stay.
pub async fn what_is_removed_or_emptied_is_gone(stores: &Stores) {
    let user = stores.add_a_user().await;
    for empties in [true, false] {
        let (gone, stays) = (a_conversation(user.id), a_conversation(user.id));
        for conversation in [&gone, &stays] {
            let kept = Conversation { title: ConversationTitle::of_first_message("Hello"), pinned: true, ..conversation.clone() };
            stores.add_conversation(&kept, Vec::new()).await;
        }
        let (message, kept) = (say(stores, &gone, None).await, say(stores, &stays, None).await);
        let answer = a_chat_stream(user.id, &message);
        let turn = ports::NewTurn { stream: answer.clone(), message: None, title: None, max_messages: MANY };
        stores.chat_streams.begin(turn).await.unwrap();
        let summary = ConversationSummary { text: "They met".into(), up_to: message.id };
        stores.conversations.keep_summary(gone.id, summary.clone()).await.unwrap();
        assert_eq!(read(stores, &gone).await.summary, Some(summary.clone()));
        if empties {
            let later = a_time() + TimeDelta::seconds(1);
            stores.conversations.empty(user.id, gone.id, later).await.unwrap();
            let emptied = read(stores, &gone).await;
            assert!(emptied == Conversation { pinned: true, updated_at: later, ..gone.clone() });
            assert_eq!(stores.all_messages(gone.id).await, []);
        } else {
            stores.conversations.remove(EVERYONE, gone.id).await.unwrap();
            assert_eq!(error_of(stores.conversations.get(EVERYONE, gone.id).await), StoreError::NotFound);
        }
        assert_eq!(error_of(stores.chat_streams.read(user.id, answer.id, 0).await), StoreError::NotFound);
        stores.conversations.keep_summary(gone.id, summary).await.unwrap();
        assert_eq!(ids(&stores.all_messages(stays.id).await), [kept.id]);
    }
}

/// Nothing of theirs stays behind.
pub async fn an_account_takes_its_conversations_with_it(stores: &Stores) {
    let conversation = a_kept_conversation(stores).await;
    say(stores, &conversation, None).await;
    assert_eq!(stores.users.remove(conversation.user_id).await.unwrap().conversations, 1);
    assert_eq!(error_of(stores.conversations.get(EVERYONE, conversation.id).await), StoreError::NotFound);
    assert_eq!(stores.all_messages(conversation.id).await, []);
}

/// Each after its parent, whatever the branches.
pub async fn all_messages_are_read_a_page_at_a_time(stores: &Stores) {
    let conversation = a_kept_conversation(stores).await;
    let root = say(stores, &conversation, None).await;
    let mut expected = vec![root.clone(), say(stores, &conversation, None).await];
    for _ in 0..3 {
        expected.push(say(stores, &conversation, Some(&root)).await);
    }
    for parent in [4, 2, 3] {
        expected.push(say(stores, &conversation, Some(&expected[parent])).await);
    }
    for limit in [1, 2, 3, 8, 9] {
        let (mut read, mut after) = (Vec::new(), None);
        loop {
            let page = stores.conversations.messages_after(conversation.id, after, limit).await.unwrap();
            assert!(page.len() <= limit as usize);
            let Some(last) = page.last() else { break };
            after = Some(MessagePlace::from(last));
            read.extend(page);
        }
        assert!(read == expected, "pages of {limit}: {:?}", ids(&read));
    }
}

/// As long as a conversation may come to be, and deeper than a database follows references.
pub async fn a_long_conversation_is_read_and_removed_whole(stores: &Stores) {
    let conversation = a_conversation(stores.add_a_user().await.id);
    let mut messages: Vec<Message> = Vec::new();
    for _ in 0..3000 {
        messages.push(a_message(conversation.id, messages.last()));
    }
    stores.add_conversation(&conversation, messages.clone()).await;
    assert!(stores.conversations.branch(conversation.id, messages[2999].id, 10_000).await.unwrap() == messages);
    assert!(stores.conversations.branch(conversation.id, messages[2999].id, 2).await.unwrap() == messages[2998..]);
    assert_eq!(stores.conversations.newest_leaf_below(conversation.id, messages[0].id).await.unwrap(), messages[2999].id);
    stores.conversations.remove(EVERYONE, conversation.id).await.unwrap();
    assert_eq!(stores.all_messages(conversation.id).await, []);
}

/// Makes a test of every story, of what `$make` gives.
#[macro_export]
macro_rules! conversation_store_contract {
    ($make:path) => {
        $crate::stories! {
            $make, conversation_store,
            a_conversation_and_its_messages_come_back_as_they_were_added,
            a_conversation_of_nobody_is_not_kept,
            of_many_who_ask_for_the_default_conversation_at_once_all_get_the_same,
            anothers_conversation_looks_like_none,
            conversations_are_listed_by_their_last_activity_a_page_at_a_time,
            conversations_are_added_all_or_none_up_to_a_number,
            conversations_are_listed_as_they_were_begun_a_page_at_a_time,
            a_search_finds_what_was_said,
            a_change_changes_what_it_names_and_nothing_else,
            a_branch_is_read_from_its_end,
            a_message_needs_its_parent_and_room,
            what_is_removed_or_emptied_is_gone,
            an_account_takes_its_conversations_with_it,
            all_messages_are_read_a_page_at_a_time,
            a_long_conversation_is_read_and_removed_whole,
        }
    };
}
