//! What a [`ChatStreamStore`](ports::ChatStreamStore) promises.

use chrono::TimeDelta;
use domain::{
    ChatFailure, ChatStream, ChatStreamId, ChatStreamState, Conversation, ConversationTitle, Message, MessageStatus, Timestamp,
};
use ports::{NewTurn, RecordScope, StoreError, StreamEnd, StreamOrders, StreamReading};

use super::{Stores, all_at_once, error_of};
use crate::builders::{a_chat_stream, a_conversation, a_message, a_time, a_uuid};

const MANY: u32 = 1000;

/// A conversation, and an answer in it that has just begun.
struct Begun {
    conversation: Conversation,
    message: Message,
    stream: ChatStream,
}

async fn begun(stores: &Stores) -> Begun {
    let conversation = a_conversation(stores.add_a_user().await.id);
    stores.add_conversation(&conversation, Vec::new()).await;
    let message = a_message(conversation.id, None);
    let stream = a_chat_stream(conversation.user_id, &message);
    stores.chat_streams.begin(turn(&stream, Some(message.clone()))).await.unwrap();
    Begun { conversation, message, stream }
}

fn turn(stream: &ChatStream, message: Option<Message>) -> NewTurn {
    NewTurn { stream: stream.clone(), message, title: ConversationTitle::of_first_message("Hello"), max_messages: MANY }
}

fn strings(pieces: &[&str]) -> Vec<String> {
    pieces.iter().map(|piece| (*piece).to_owned()).collect()
}

fn seconds(seconds: i64) -> Timestamp {
    a_time() + TimeDelta::seconds(seconds)
}

fn end(stream: &ChatStream, content: &str, last_pieces: &[&str]) -> StreamEnd {
    StreamEnd {
        state: ChatStreamState::Done,
        message: Some(stream.message(content.to_owned(), MessageStatus::Done)),
        back_to: None,
        last_pieces: strings(last_pieces),
        ended_at: seconds(9),
    }
}

async fn conversation(stores: &Stores, begun: &Begun) -> Conversation {
    stores.conversations.get(RecordScope::Everyone, begun.conversation.id).await.unwrap()
}

async fn messages(stores: &Stores, begun: &Begun) -> Vec<Message> {
    stores.all_messages(begun.conversation.id).await
}

/// And names the conversation, if it has no name.
pub async fn a_turn_begins_with_its_message_and_its_answer_or_with_neither(stores: &Stores) {
    let one = begun(stores).await;
    assert!(messages(stores, &one).await == [one.message.clone()]);
    let kept = conversation(stores, &one).await;
    assert_eq!(kept.active_message, Some(one.message.id));
    assert_eq!(kept.title.as_ref().map(ConversationTitle::as_str), Some("Hello"));
    let read = stores.chat_streams.read(one.stream.user_id, one.stream.id, 0).await.unwrap();
    assert_eq!(read, StreamReading { stream: one.stream.clone(), pieces: Vec::new() });

    let next = a_message(one.conversation.id, Some(&one.message));
    let named = NewTurn {
        title: ConversationTitle::of_first_message("Another"),
        ..turn(&a_chat_stream(one.stream.user_id, &next), Some(next.clone()))
    };
    let full = NewTurn { max_messages: 1, ..named.clone() };
    assert_eq!(error_of(stores.chat_streams.begin(full.clone()).await), StoreError::Conflict { field: "messages" });
    let refused = stores.chat_streams.read(one.stream.user_id, full.stream.id, 0).await;
    assert_eq!(error_of(refused), StoreError::NotFound);
    stores.chat_streams.begin(named).await.unwrap();
    assert_eq!(conversation(stores, &one).await.title, kept.title, "it keeps the name it has");

    let stranger = stores.add_a_user().await;
    let foreign = a_chat_stream(stranger.id, &one.message);
    assert_eq!(error_of(stores.chat_streams.begin(turn(&foreign, None)).await), StoreError::NotFound);
    let to_nothing = a_chat_stream(one.stream.user_id, &a_message(one.conversation.id, None));
    assert_eq!(error_of(stores.chat_streams.begin(turn(&to_nothing, None)).await), StoreError::NotFound);
}

/// A message that is there becomes the one to go on from.
pub async fn an_answer_can_be_made_again(stores: &Stores) {
    let one = begun(stores).await;
    stores.chat_streams.finish(one.stream.id, 0, end(&one.stream, "first", &["first"])).await.unwrap();
    assert_eq!(conversation(stores, &one).await.active_message, Some(one.stream.message_id));
    let again = a_chat_stream(one.stream.user_id, &one.message);
    stores.chat_streams.begin(turn(&again, None)).await.unwrap();
    assert_eq!(conversation(stores, &one).await.active_message, Some(one.message.id));
    stores.chat_streams.finish(again.id, 0, end(&again, "second", &["second"])).await.unwrap();
    assert_eq!(conversation(stores, &one).await.active_message, Some(again.message_id));
    assert_eq!(messages(stores, &one).await.len(), 3, "the first answer stays");
}

/// An answer that came to nothing leaves the one before it in sight.
pub async fn an_answer_that_comes_to_nothing_leaves_the_one_before(stores: &Stores) {
    let one = begun(stores).await;
    stores.chat_streams.finish(one.stream.id, 0, end(&one.stream, "first", &["first"])).await.unwrap();
    let first = one.stream.message_id;
    for (back_to, expected) in [(Some(first), first), (Some(a_message(one.conversation.id, None).id), one.message.id)] {
        let again = a_chat_stream(one.stream.user_id, &one.message);
        stores.chat_streams.begin(turn(&again, None)).await.unwrap();
        stores.chat_streams.finish(again.id, 0, StreamEnd { message: None, back_to, ..end(&again, "", &[]) }).await.unwrap();
        assert_eq!(conversation(stores, &one).await.active_message, Some(expected));
    }
    let late = a_chat_stream(one.stream.user_id, &one.message);
    stores.chat_streams.begin(turn(&late, None)).await.unwrap();
    let elsewhere = a_message(one.conversation.id, None);
    stores.conversations.add_message(one.stream.user_id, elsewhere.clone(), MANY).await.unwrap();
    let nothing = StreamEnd { message: None, back_to: Some(first), ..end(&late, "", &[]) };
    stores.chat_streams.finish(late.id, 0, nothing).await.unwrap();
    assert_eq!(conversation(stores, &one).await.active_message, Some(elsewhere.id), "who is elsewhere is not called back");
}

/// As if nothing had been said.
pub async fn a_turn_of_which_nothing_came_is_taken_back(stores: &Stores) {
    let one = begun(stores).await;
    stores.chat_streams.withdraw(one.stream.id, Some(one.message.id), None).await.unwrap();
    assert_eq!(messages(stores, &one).await, []);
    assert_eq!(conversation(stores, &one).await.active_message, None);
    assert_eq!(error_of(stores.chat_streams.read(one.stream.user_id, one.stream.id, 0).await), StoreError::NotFound);
    stores.chat_streams.withdraw(one.stream.id, None, None).await.unwrap();
}

/// Who went on before the refusal came keeps what they said, and what they were answered.
pub async fn a_turn_that_is_taken_back_hides_nothing_that_was_said_meanwhile(stores: &Stores) {
    let one = begun(stores).await;
    let next = a_message(one.conversation.id, Some(&one.message));
    let answer = a_chat_stream(one.stream.user_id, &next);
    stores.chat_streams.begin(turn(&answer, Some(next.clone()))).await.unwrap();
    stores.chat_streams.finish(answer.id, 0, end(&answer, "yes", &["yes"])).await.unwrap();
    stores.chat_streams.withdraw(one.stream.id, Some(one.message.id), None).await.unwrap();
    let answered = answer.message("yes".into(), MessageStatus::Done);
    let kept: Vec<_> = messages(stores, &one).await.iter().map(|message| message.id).collect();
    assert_eq!(kept, [one.message.id, next.id, answered.id], "nothing hangs from a message that is not there");
    assert_eq!(conversation(stores, &one).await.active_message, Some(answered.id));

    let again = a_chat_stream(one.stream.user_id, &next);
    stores.chat_streams.begin(turn(&again, None)).await.unwrap();
    let elsewhere = a_message(one.conversation.id, Some(&one.message));
    stores.conversations.add_message(one.stream.user_id, elsewhere.clone(), MANY).await.unwrap();
    stores.chat_streams.withdraw(again.id, None, Some(answered.id)).await.unwrap();
    assert_eq!(conversation(stores, &one).await.active_message, Some(elsewhere.id), "who is elsewhere is not called back");
}

/// Neither the message that another answer is for, nor a place that is gone, is what a conversation is left with.
pub async fn what_is_taken_back_leaves_a_conversation_where_it_can_go_on(stores: &Stores) {
    let one = begun(stores).await;
    let again = a_chat_stream(one.stream.user_id, &one.message);
    stores.chat_streams.begin(turn(&again, None)).await.unwrap();
    stores.chat_streams.withdraw(one.stream.id, Some(one.message.id), None).await.unwrap();
    assert!(messages(stores, &one).await == [one.message.clone()], "it is being answered");
    assert_eq!(conversation(stores, &one).await.active_message, Some(one.message.id));
    let gone = a_message(one.conversation.id, None).id;
    stores.chat_streams.withdraw(again.id, None, Some(gone)).await.unwrap();
    assert_eq!(conversation(stores, &one).await.active_message, Some(one.message.id), "where it was is not there any more");

    let last = a_chat_stream(one.stream.user_id, &one.message);
    stores.chat_streams.begin(turn(&last, None)).await.unwrap();
    stores.conversations.remove(RecordScope::Everyone, one.conversation.id).await.unwrap();
    stores.chat_streams.withdraw(last.id, None, None).await.unwrap();
}

/// Until they have ended, and for no other message.
pub async fn the_running_answers_to_a_message_are_found(stores: &Stores) {
    let one = begun(stores).await;
    let answering = async |message: &Message| {
        let mut found = stores.chat_streams.answering(one.conversation.id, message.id).await.unwrap();
        found.sort_unstable();
        found
    };
    let again = a_chat_stream(one.stream.user_id, &one.message);
    stores.chat_streams.begin(turn(&again, None)).await.unwrap();
    let next = a_message(one.conversation.id, Some(&one.message));
    let other = a_chat_stream(one.stream.user_id, &next);
    stores.chat_streams.begin(turn(&other, Some(next.clone()))).await.unwrap();
    assert_eq!(answering(&one.message).await, [one.stream.id, again.id]);
    stores.chat_streams.finish(one.stream.id, 0, end(&one.stream, "a", &["a"])).await.unwrap();
    assert_eq!((answering(&one.message).await, answering(&next).await), (vec![again.id], vec![other.id]));
}

/// Wherever the reader is, also in the middle of what was appended at once.
pub async fn pieces_are_read_from_any_place_on(stores: &Stores) {
    let one = begun(stores).await;
    let all = ["a", "\0", "\u{10}", "🐉\n", "\"\\", " e", "f"];
    // Some are offered again, with more: their caller could not know that they had arrived.
    for (already, pieces) in [(0, &all[..2]), (0, &all[..3]), (3, &[]), (3, &all[3..4]), (4, &all[4..])] {
        let orders = stores.chat_streams.append(one.stream.id, already, strings(pieces), seconds(2)).await.unwrap();
        assert_eq!(orders, StreamOrders::default());
    }
    for after in 0..=7_u32 {
        let read = stores.chat_streams.read(one.stream.user_id, one.stream.id, after).await.unwrap();
        assert_eq!(read.pieces, strings(&all[after as usize..]), "after {after}");
        assert_eq!((read.stream.beat_at, read.stream.state), (seconds(2), ChatStreamState::Running));
    }
    assert_eq!(stores.chat_streams.read(one.stream.user_id, one.stream.id, 70).await.unwrap().pieces, strings(&[]));
    let stranger = stores.add_a_user().await.id;
    assert_eq!(error_of(stores.chat_streams.read(stranger, one.stream.id, 0).await), StoreError::NotFound);
}

/// With the last pieces, once, and not where its user went on meanwhile.
pub async fn an_end_keeps_the_answer(stores: &Stores) {
    let one = begun(stores).await;
    stores.chat_streams.append(one.stream.id, 0, strings(&["a"]), seconds(1)).await.unwrap();
    stores.chat_streams.finish(one.stream.id, 1, end(&one.stream, "ab", &["b"])).await.unwrap();
    let answer = one.stream.message("ab".into(), MessageStatus::Done);
    assert!(messages(stores, &one).await == [one.message.clone(), answer.clone()]);
    let kept = conversation(stores, &one).await;
    assert_eq!((kept.active_message, kept.updated_at), (Some(answer.id), seconds(9)));
    let read = stores.chat_streams.read(one.stream.user_id, one.stream.id, 0).await.unwrap();
    assert_eq!(read.pieces, strings(&["a", "b"]));
    assert_eq!((read.stream.state, read.stream.ended_at), (ChatStreamState::Done, Some(seconds(9))));

    let late = stores.chat_streams.finish(one.stream.id, 2, end(&one.stream, "ab", &[])).await;
    assert_eq!(error_of(late), StoreError::NotFound);
    let late = stores.chat_streams.append(one.stream.id, 2, strings(&["c"]), seconds(9)).await;
    assert_eq!(error_of(late), StoreError::NotFound);

    let again = a_chat_stream(one.stream.user_id, &one.message);
    stores.chat_streams.begin(turn(&again, None)).await.unwrap();
    let elsewhere = a_message(one.conversation.id, Some(&answer));
    stores.conversations.add_message(one.stream.user_id, elsewhere.clone(), MANY).await.unwrap();
    let failed = ChatStreamState::Failed(ChatFailure::DeadlineExceeded);
    stores.chat_streams.finish(again.id, 0, StreamEnd { state: failed, ..end(&again, "", &[]) }).await.unwrap();
    assert_eq!(conversation(stores, &one).await.active_message, Some(elsewhere.id));
    assert_eq!(stores.chat_streams.read(one.stream.user_id, again.id, 0).await.unwrap().stream.state, failed);
    assert_eq!(messages(stores, &one).await.len(), 4);

    let nothing = a_chat_stream(one.stream.user_id, &one.message);
    stores.chat_streams.begin(turn(&nothing, None)).await.unwrap();
    stores.chat_streams.finish(nothing.id, 0, StreamEnd { message: None, ..end(&nothing, "", &[]) }).await.unwrap();
    assert_eq!(messages(stores, &one).await.len(), 4);
}

/// Whoever reads or stops it, at whatever replica, is heard by the one that makes it.
pub async fn who_makes_an_answer_is_told_who_reads_and_who_stops_it(stores: &Stores) {
    let one = begun(stores).await;
    let stranger = stores.add_a_user().await.id;
    let nowhere = ChatStreamId::new(a_uuid());
    stores.chat_streams.attend(stranger, one.stream.id, seconds(60)).await.unwrap();
    for (user_id, id) in [(stranger, one.stream.id), (one.stream.user_id, nowhere)] {
        assert_eq!(error_of(stores.chat_streams.request_stop(user_id, id).await), StoreError::NotFound);
    }
    let orders = stores.chat_streams.append(one.stream.id, 0, Vec::new(), seconds(1)).await.unwrap();
    assert_eq!(orders, StreamOrders::default(), "a stranger is not heard");
    stores.chat_streams.attend(one.stream.user_id, one.stream.id, seconds(60)).await.unwrap();
    stores.chat_streams.request_stop(one.stream.user_id, one.stream.id).await.unwrap();
    let orders = stores.chat_streams.append(one.stream.id, 0, Vec::new(), seconds(1)).await.unwrap();
    assert_eq!(orders, StreamOrders { stop: true, attended_until: Some(seconds(60)) });
}

/// Their conversation is gone.
pub async fn an_answer_without_its_conversation_ends(stores: &Stores) {
    let one = begun(stores).await;
    stores.conversations.remove(RecordScope::Everyone, one.conversation.id).await.unwrap();
    let appended = stores.chat_streams.append(one.stream.id, 0, strings(&["a"]), seconds(1)).await;
    assert_eq!(error_of(appended), StoreError::NotFound);
    assert_eq!(error_of(stores.chat_streams.finish(one.stream.id, 0, end(&one.stream, "a", &[])).await), StoreError::NotFound);
}

/// What their process said before it died is there.
pub async fn answers_whose_process_is_silent_are_found_and_ended_ones_swept(stores: &Stores) {
    let (silent, lively, ended) = (begun(stores).await, begun(stores).await, begun(stores).await);
    stores.chat_streams.append(silent.stream.id, 0, strings(&["a", "b"]), seconds(1)).await.unwrap();
    stores.chat_streams.append(lively.stream.id, 0, Vec::new(), seconds(50)).await.unwrap();
    stores.chat_streams.finish(ended.stream.id, 0, end(&ended.stream, "a", &["a"])).await.unwrap();
    let dead = stores.chat_streams.dead(seconds(30), 10).await.unwrap();
    assert_eq!(dead.len(), 1);
    assert_eq!((dead[0].stream.id, &dead[0].pieces), (silent.stream.id, &strings(&["a", "b"])));
    assert_eq!(stores.chat_streams.dead(seconds(51), 1).await.unwrap().len(), 1);
    assert_eq!(stores.chat_streams.sweep(seconds(9)).await.unwrap(), 0);
    assert_eq!(stores.chat_streams.sweep(seconds(10)).await.unwrap(), 1);
    assert_eq!(error_of(stores.chat_streams.read(ended.stream.user_id, ended.stream.id, 0).await), StoreError::NotFound);
    assert_eq!(messages(stores, &ended).await.len(), 2, "the messages stay");
    assert!(stores.chat_streams.read(lively.stream.user_id, lively.stream.id, 0).await.is_ok());
}

/// Of two replicas that give it up for dead, and the one that makes it after all, one ends it.
pub async fn an_answer_ends_once(stores: &Stores) {
    let one = begun(stores).await;
    let finish = || {
        let (chat_streams, stream) = (stores.chat_streams.clone(), one.stream.clone());
        async move { chat_streams.finish(stream.id, 0, end(&stream, "a", &["a"])).await }
    };
    let ended = all_at_once(8, finish).await;
    assert_eq!(ended.iter().filter(|result| result.is_ok()).count(), 1, "{ended:?}");
    assert_eq!(messages(stores, &one).await.len(), 2);
}

/// Makes a test of every story, of what `$make` gives.
#[macro_export]
macro_rules! chat_stream_store_contract {
    ($make:path) => {
        $crate::stories! {
            $make, chat_stream_store,
            a_turn_begins_with_its_message_and_its_answer_or_with_neither,
            an_answer_can_be_made_again,
            an_answer_that_comes_to_nothing_leaves_the_one_before,
            a_turn_of_which_nothing_came_is_taken_back,
            a_turn_that_is_taken_back_hides_nothing_that_was_said_meanwhile,
            what_is_taken_back_leaves_a_conversation_where_it_can_go_on,
            the_running_answers_to_a_message_are_found,
            pieces_are_read_from_any_place_on,
            an_end_keeps_the_answer,
            who_makes_an_answer_is_told_who_reads_and_who_stops_it,
            an_answer_without_its_conversation_ends,
            answers_whose_process_is_silent_are_found_and_ended_ones_swept,
            an_answer_ends_once,
        }
    };
}
