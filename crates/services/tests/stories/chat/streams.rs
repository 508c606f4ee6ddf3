//! An answer outlives the connection that asked for it, for a while, and for its user alone.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use domain::ChatRole::{Assistant, User};
use domain::MessageStatus::{Done, Interrupted};
use futures_util::StreamExt;
use ports::GenerationError;
use services::{ChatEvent, Resumed, ServiceError};
use test_support::{FakeTextGenerator, Gate, Step};

use super::support::{Chat, Echo, Settings, echo_of, heard};

fn piece(number: u32, text: &str) -> ChatEvent {
    ChatEvent::Text { number, text: text.into() }
}

#[tokio::test]
async fn who_comes_back_gets_what_they_missed_and_nothing_twice() {
    let gate = Gate::shut();
    let steps = [
        Step::Text("a".into()),
        Step::Wait(gate.clone()),
        Step::Text("b".into()),
        Step::Wait(gate.clone()),
        Step::Text("c".into()),
    ];
    let chat = Chat::with(Arc::new(FakeTextGenerator::following(steps))).await;
    let (ana, ben) = (chat.newcomer().await, chat.newcomer().await);
    let turn = chat.say(&ana, "Tell me").await;
    let id = turn.stream_id;
    let mut events = turn.into_events();
    assert_eq!(events.next().await.unwrap().unwrap(), piece(1, "a"));
    drop(events);
    gate.let_one_through();

    assert_eq!(chat.resume(&ben, id, 0).await.map(drop), Err(ServiceError::StreamNotFound), "for its owner alone");
    assert_eq!(chat.service.stop(&ben, id).await, Err(ServiceError::StreamNotFound));
    let mut again = chat.resume(&ana, id, 1).await.unwrap();
    assert_eq!(again.next().await.unwrap().unwrap(), piece(2, "b"));
    let from_the_start = chat.resume(&ana, id, 0).await.unwrap();
    gate.let_one_through();
    assert_eq!(again.next().await.unwrap().unwrap(), piece(3, "c"));
    assert_eq!(again.next().await.unwrap().unwrap(), ChatEvent::Done { number: 4 });
    assert_eq!(heard(from_the_start).await, ("abc".to_owned(), true));
    chat.background.finish().await;

    // It has ended, and left this process's memory.
    for (after, rest) in [(0, "abc"), (2, "c"), (3, "")] {
        assert_eq!(heard(chat.resume(&ana, id, after).await.unwrap()).await, (rest.to_owned(), true), "after {after}");
    }
    assert!(matches!(chat.service.resume(&ana, id, 4).await, Ok(Resumed::Over)), "the end is known");
    assert_eq!(chat.resume(&ben, id, 0).await.map(drop), Err(ServiceError::StreamNotFound));
    chat.clock.advance(TimeDelta::seconds(31));
    assert_eq!(chat.resume(&ana, id, 0).await.map(drop), Err(ServiceError::StreamNotFound), "too late");
    assert_eq!((chat.service.sweep().await, chat.service.sweep().await), (Ok(1), Ok(0)));
    assert_eq!(chat.history(&ana).await[1], (Assistant, "abc".into(), Done));
}

#[tokio::test]
async fn an_answer_that_nobody_hears_goes_on_for_a_while_and_is_cut_then() {
    let generator = Arc::new(FakeTextGenerator::following([Step::Text("a".into()), Step::Wait(Gate::shut())]));
    let mut settings = Settings { time_runs: 100, ..Settings::default() };
    settings.limits.resume_window = Duration::from_secs(20);
    let chat = Chat::set(generator.clone(), settings).await;
    let ana = chat.newcomer().await;
    let mut turn = chat.say(&ana, "Tell me").await;
    turn.opened().await.unwrap();
    let id = turn.stream_id;
    drop(turn);
    tokio::time::sleep(Duration::from_millis(100)).await;
    let listening = chat.resume(&ana, id, 0).await.unwrap();
    assert_eq!(generator.open_streams(), 1, "it went on");
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(generator.open_streams(), 1, "it goes on as long as somebody listens");
    drop(listening);
    chat.background.finish().await;
    assert_eq!((generator.open_streams(), generator.cancelled_streams()), (0, 1));
    assert_eq!(chat.history(&ana).await, [(User, "Tell me".into(), Done), (Assistant, "a".into(), Interrupted)]);
    assert_eq!(chat.limits.usage(&ana).await.unwrap().tokens.reserved, 0);
}

#[tokio::test]
async fn a_stop_ends_it_at_once_and_keeps_what_was_said() {
    let generator = Arc::new(FakeTextGenerator::following([Step::Text("a".into()), Step::Wait(Gate::shut())]));
    let chat = Chat::with(generator.clone()).await;
    let ana = chat.newcomer().await;
    let turn = chat.say(&ana, "Tell me").await;
    let id = turn.stream_id;
    let mut events = turn.into_events();
    events.next().await.unwrap().unwrap();
    chat.service.stop(&ana, id).await.unwrap();
    assert_eq!(chat.history(&ana).await[1], (Assistant, "a".into(), Interrupted), "it is stored when the stop is answered");
    assert_eq!(events.next().await, Some(Ok(ChatEvent::Done { number: 2 })));
    assert_eq!(generator.cancelled_streams(), 1);
    chat.service.stop(&ana, id).await.unwrap();
}

#[tokio::test]
async fn another_replica_takes_an_answer_up_and_stops_it() {
    let gate = Gate::shut();
    let steps = [Step::Text("a".into()), Step::Wait(gate.clone()), Step::Text("b".into()), Step::Wait(gate.clone())];
    let here = Chat::with(Arc::new(FakeTextGenerator::following(steps))).await;
    let there = here.replica(Arc::new(FakeTextGenerator::saying(["never"])), Settings::default()).await;
    let (ana, ben) = (here.newcomer().await, here.newcomer().await);
    let mut turn = here.say(&ana, "Tell me").await;
    turn.opened().await.unwrap();
    let id = turn.stream_id;
    let mut events = there.resume(&ana, id, 0).await.unwrap();
    assert_eq!(events.next().await.unwrap().unwrap(), piece(1, "a"));
    gate.let_one_through();
    assert_eq!(events.next().await.unwrap().unwrap(), piece(2, "b"));
    assert_eq!(there.resume(&ben, id, 0).await.map(drop), Err(ServiceError::StreamNotFound));
    assert_eq!(there.service.stop(&ben, id).await, Err(ServiceError::StreamNotFound));
    there.service.stop(&ana, id).await.unwrap();
    assert_eq!(events.next().await.unwrap().unwrap(), ChatEvent::Done { number: 3 });
    assert_eq!(heard(turn.into_events()).await, ("ab".to_owned(), true));
    assert_eq!(there.history(&ana).await[1], (Assistant, "ab".into(), Interrupted));
}

#[tokio::test]
async fn a_reader_at_another_replica_keeps_an_answer_alive() {
    let mut settings = Settings { time_runs: 100, ..Settings::default() };
    settings.limits.resume_window = Duration::from_secs(2);
    let here = Chat::set(Arc::new(Echo::new(30, Duration::from_millis(10))), settings).await;
    let there =
        here.replica(Arc::new(FakeTextGenerator::saying(["never"])), Settings { time_runs: 100, ..Settings::default() }).await;
    let ana = here.newcomer().await;
    let mut turn = here.say(&ana, "on and").await;
    turn.opened().await.unwrap();
    let events = there.resume(&ana, turn.stream_id, 0).await.unwrap();
    drop(turn);
    assert_eq!(heard(events).await, (echo_of("on and", 30), true), "60 words take far longer than 2 of its seconds");
}

#[tokio::test]
async fn what_a_dead_process_had_said_is_kept() {
    let here = Chat::with(Arc::new(FakeTextGenerator::following([Step::Text("a".into()), Step::Wait(Gate::shut())]))).await;
    let there = here.replica(Arc::new(FakeTextGenerator::saying(["never"])), Settings::default()).await;
    let ana = here.newcomer().await;
    let mut turn = here.say(&ana, "Tell me").await;
    turn.opened().await.unwrap();
    let id = turn.stream_id;
    let mut events = there.resume(&ana, id, 0).await.unwrap();
    events.next().await.unwrap().unwrap();
    assert_eq!(there.service.recover_dead().await, Ok(0), "it lives");
    // Nothing else runs between the two: in these 61 seconds its process has said nothing.
    there.clock.advance(TimeDelta::seconds(61));
    assert_eq!(there.service.recover_dead().await, Ok(1));
    assert_eq!(there.service.recover_dead().await, Ok(0));
    assert_eq!(events.next().await, Some(Err(ServiceError::Generation(GenerationError::ShuttingDown))));
    assert_eq!(there.history(&ana).await[1], (Assistant, "a".into(), Interrupted));
    assert_eq!(heard(turn.into_events()).await, ("a".to_owned(), false));
    here.background.finish().await;
    assert_eq!(there.history(&ana).await.len(), 2, "who was given up for dead says no more");
}

#[tokio::test]
async fn a_server_that_stops_cuts_and_keeps_what_runs() {
    let chat = Chat::with(Arc::new(FakeTextGenerator::following([Step::Text("a".into()), Step::Wait(Gate::shut())]))).await;
    let ana = chat.newcomer().await;
    let mut turn = chat.say(&ana, "Tell me").await;
    turn.opened().await.unwrap();
    let mut events = turn.into_events();
    events.next().await.unwrap().unwrap();
    chat.service.cut_all();
    assert_eq!(events.next().await, Some(Err(ServiceError::Generation(GenerationError::ShuttingDown))));
    chat.background.finish().await;
    assert_eq!(chat.history(&ana).await[1], (Assistant, "a".into(), Interrupted));
}
