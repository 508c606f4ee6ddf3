//! The stories of [`ports::TokenQuotaStore`].

use std::time::Duration;

use chrono::{NaiveDate, TimeDelta};
use domain::{ApiKeyId, TokenQuota, TokenReservation, TokensOfDay, UserId};
use ports::{ReservationOutcome, StoreError, UsedTokens};

use super::{Stores, all_at_once, error_of};
use crate::builders::{a_time, a_token_reservation, a_user_id, a_uuid, an_api_key, an_api_key_hash};

const NO_QUOTA: TokenQuota = TokenQuota { user: None, api_key: None };

fn of_user(tokens: u64) -> TokenQuota {
    TokenQuota { user: Some(tokens), api_key: None }
}

fn today() -> NaiveDate {
    a_time().date_naive()
}

const fn counted(used: u64, reserved: u64) -> TokensOfDay {
    TokensOfDay { used, reserved }
}

async fn a_key(stores: &Stores, user_id: UserId) -> ApiKeyId {
    let key = an_api_key(user_id);
    stores.api_keys.add(key.clone(), an_api_key_hash(), 10).await.unwrap();
    key.id
}

async fn reserve(stores: &Stores, reservation: TokenReservation, quota: TokenQuota) -> ReservationOutcome {
    stores.token_quotas.reserve(reservation, quota).await.unwrap()
}

async fn reserved(stores: &Stores, reservation: TokenReservation) -> TokenReservation {
    assert_eq!(reserve(stores, reservation, NO_QUOTA).await, ReservationOutcome::Reserved);
    reservation
}

async fn users_day(stores: &Stores, user_id: UserId) -> TokensOfDay {
    stores.token_quotas.of_user(user_id, today()).await.unwrap()
}

async fn keys_day(stores: &Stores, api_key_id: ApiKeyId) -> TokensOfDay {
    stores.token_quotas.of_api_key(api_key_id, today()).await.unwrap()
}

/// Also of somebody who is not there.
pub async fn a_day_begins_with_nothing(stores: &Stores) {
    let user = stores.add_a_user().await;
    assert_eq!(users_day(stores, user.id).await, counted(0, 0));
    assert_eq!(users_day(stores, a_user_id()).await, counted(0, 0));
    assert_eq!(keys_day(stores, ApiKeyId::new(a_uuid())).await, counted(0, 0));
}

/// To the last token, and not one more.
pub async fn tokens_are_set_aside_while_they_fit_the_quota(stores: &Stores) {
    let user = stores.add_a_user().await;
    let asked = |tokens| TokenReservation { tokens, ..a_token_reservation(user.id) };
    assert_eq!(reserve(stores, asked(60), of_user(100)).await, ReservationOutcome::Reserved);
    let exceeded = ReservationOutcome::Exceeded { quota: 100, tokens: counted(0, 60) };
    assert_eq!(reserve(stores, asked(41), of_user(100)).await, exceeded);
    assert_eq!(users_day(stores, user.id).await, counted(0, 60), "what does not fit sets nothing aside");
    assert_eq!(reserve(stores, asked(40), of_user(100)).await, ReservationOutcome::Reserved);
    assert_eq!(users_day(stores, user.id).await, counted(0, 100));
}

/// Not even as the first of the day.
pub async fn more_than_the_whole_quota_never_fits(stores: &Stores) {
    let user = stores.add_a_user().await;
    let exceeded = ReservationOutcome::Exceeded { quota: 99, tokens: counted(0, 0) };
    assert_eq!(reserve(stores, a_token_reservation(user.id), of_user(99)).await, exceeded);
    assert_eq!(users_day(stores, user.id).await, counted(0, 0));
}

/// So that what was used can be told, and a quota that is set later knows of it.
pub async fn tokens_are_counted_also_without_a_quota(stores: &Stores) {
    let user = stores.add_a_user().await;
    for _ in 0..2 {
        let largest = TokenReservation { tokens: u32::MAX, ..a_token_reservation(user.id) };
        reserved(stores, largest).await;
    }
    assert_eq!(users_day(stores, user.id).await, counted(0, 2 * u64::from(u32::MAX)));
    let exceeded = ReservationOutcome::Exceeded { quota: 10, tokens: counted(0, 2 * u64::from(u32::MAX)) };
    assert_eq!(reserve(stores, a_token_reservation(user.id), of_user(10)).await, exceeded);
    assert_eq!(reserve(stores, a_token_reservation(user.id), of_user(u64::MAX)).await, ReservationOutcome::Reserved);
}

/// What was set aside and not used is free again.
pub async fn settling_counts_what_was_used_and_gives_back_the_rest(stores: &Stores) {
    let user = stores.add_a_user().await;
    let first = reserved(stores, a_token_reservation(user.id)).await;
    reserved(stores, a_token_reservation(user.id)).await;
    stores.token_quotas.settle(first.id, 30).await.unwrap();
    assert_eq!(users_day(stores, user.id).await, counted(30, 100));
    let exceeded = ReservationOutcome::Exceeded { quota: 229, tokens: counted(30, 100) };
    assert_eq!(reserve(stores, a_token_reservation(user.id), of_user(229)).await, exceeded);
    assert_eq!(reserve(stores, a_token_reservation(user.id), of_user(230)).await, ReservationOutcome::Reserved);
}

/// It was used all the same.
pub async fn more_than_was_set_aside_counts_too(stores: &Stores) {
    let user = stores.add_a_user().await;
    let reservation = reserved(stores, a_token_reservation(user.id)).await;
    stores.token_quotas.settle(reservation.id, 101).await.unwrap();
    assert_eq!(users_day(stores, user.id).await, counted(101, 0));
}

/// Where no quota applies nothing is set aside; a quota that is set later knows of it all the same.
pub async fn what_was_used_without_a_reservation_counts_too(stores: &Stores) {
    let user = stores.add_a_user().await;
    let key = a_key(stores, user.id).await;
    let spent = |api_key_id, tokens| UsedTokens { user_id: user.id, api_key_id, day: today(), tokens };
    stores.token_quotas.count(spent(None, 30)).await.unwrap();
    stores.token_quotas.count(spent(Some(key), u32::MAX)).await.unwrap();
    assert_eq!(users_day(stores, user.id).await, counted(30 + u64::from(u32::MAX), 0));
    assert_eq!(keys_day(stores, key).await, counted(u64::from(u32::MAX), 0));
    reserved(stores, a_token_reservation(user.id)).await;
    assert_eq!(users_day(stores, user.id).await, counted(30 + u64::from(u32::MAX), 100));
    let tokens = counted(30 + u64::from(u32::MAX), 100);
    let exceeded = ReservationOutcome::Exceeded { quota: 200, tokens };
    assert_eq!(reserve(stores, a_token_reservation(user.id), of_user(200)).await, exceeded);
}

/// Of any number at once none is lost.
pub async fn tokens_that_are_counted_at_once_are_all_counted(stores: &Stores) {
    let user = stores.add_a_user().await;
    let key = a_key(stores, user.id).await;
    all_at_once(30, || {
        let quotas = stores.token_quotas.clone();
        let spent = UsedTokens { user_id: user.id, api_key_id: Some(key), day: today(), tokens: 7 };
        async move { quotas.count(spent).await.unwrap() }
    })
    .await;
    assert_eq!(users_day(stores, user.id).await, counted(210, 0));
    assert_eq!(keys_day(stores, key).await, counted(210, 0));
}

/// A key that was removed meanwhile does not make its user's tokens free, and nobody's day is anybody's.
pub async fn what_was_used_counts_for_the_user_of_a_key_that_is_gone_and_for_nobody_who_is(stores: &Stores) {
    let user = stores.add_a_user().await;
    let spent = UsedTokens { user_id: user.id, api_key_id: Some(ApiKeyId::new(a_uuid())), day: today(), tokens: 5 };
    stores.token_quotas.count(spent).await.unwrap();
    assert_eq!(users_day(stores, user.id).await, counted(5, 0));
    let nobodys = UsedTokens { user_id: a_user_id(), api_key_id: None, ..spent };
    assert_eq!(error_of(stores.token_quotas.count(nobodys).await), StoreError::NotFound);
}

/// A generation may be ended from two sides.
pub async fn settling_again_changes_nothing(stores: &Stores) {
    let user = stores.add_a_user().await;
    let reservation = reserved(stores, a_token_reservation(user.id)).await;
    all_at_once(6, || {
        let quotas = stores.token_quotas.clone();
        async move { quotas.settle(reservation.id, 30).await.unwrap() }
    })
    .await;
    stores.token_quotas.settle(reservation.id, 99).await.unwrap();
    stores.token_quotas.settle(a_uuid(), 99).await.unwrap();
    assert_eq!(users_day(stores, user.id).await, counted(30, 0));
}

/// A generation that runs over midnight counts on the day on which it began.
pub async fn each_day_counts_by_itself(stores: &Stores) {
    let user = stores.add_a_user().await;
    let tomorrow = today().succ_opt().unwrap();
    let first = reserved(stores, a_token_reservation(user.id)).await;
    let next = TokenReservation { day: tomorrow, ..a_token_reservation(user.id) };
    assert_eq!(reserve(stores, next, of_user(100)).await, ReservationOutcome::Reserved);
    stores.token_quotas.settle(first.id, 5).await.unwrap();
    assert_eq!(users_day(stores, user.id).await, counted(5, 0));
    assert_eq!(stores.token_quotas.of_user(user.id, tomorrow).await.unwrap(), counted(0, 100));
}

/// One user's appetite is not another's.
pub async fn each_user_counts_by_themselves(stores: &Stores) {
    let (user, other) = (stores.add_a_user().await, stores.add_a_user().await);
    reserved(stores, a_token_reservation(user.id)).await;
    assert_eq!(reserve(stores, a_token_reservation(other.id), of_user(100)).await, ReservationOutcome::Reserved);
    assert_eq!(users_day(stores, other.id).await, counted(0, 100));
}

/// Whichever key is used, the user's day counts it; a key's day counts what that key was used for.
pub async fn a_keys_tokens_count_for_it_and_for_its_user(stores: &Stores) {
    let user = stores.add_a_user().await;
    let (key, other_key) = (a_key(stores, user.id).await, a_key(stores, user.id).await);
    let by = |api_key_id| TokenReservation { api_key_id: Some(api_key_id), ..a_token_reservation(user.id) };
    let first = reserved(stores, by(key)).await;
    reserved(stores, by(other_key)).await;
    reserved(stores, a_token_reservation(user.id)).await;
    stores.token_quotas.settle(first.id, 40).await.unwrap();
    assert_eq!(keys_day(stores, key).await, counted(40, 0));
    assert_eq!(keys_day(stores, other_key).await, counted(0, 100));
    assert_eq!(users_day(stores, user.id).await, counted(40, 200));
}

/// Whichever of the two has no room.
pub async fn a_reservation_against_two_quotas_is_all_or_nothing(stores: &Stores) {
    let user = stores.add_a_user().await;
    let key = a_key(stores, user.id).await;
    let by_key = || TokenReservation { api_key_id: Some(key), ..a_token_reservation(user.id) };
    let quota = |user, api_key| TokenQuota { user: Some(user), api_key: Some(api_key) };
    assert_eq!(reserve(stores, by_key(), quota(100, 100)).await, ReservationOutcome::Reserved);

    let keys_is_full = ReservationOutcome::Exceeded { quota: 199, tokens: counted(0, 100) };
    assert_eq!(reserve(stores, by_key(), quota(1000, 199)).await, keys_is_full);
    reserved(stores, a_token_reservation(user.id)).await;
    let users_is_full = ReservationOutcome::Exceeded { quota: 299, tokens: counted(0, 200) };
    assert_eq!(reserve(stores, by_key(), quota(299, 1000)).await, users_is_full);
    assert_eq!(users_day(stores, user.id).await, counted(0, 200));
    assert_eq!(keys_day(stores, key).await, counted(0, 100));

    // And what was refused left nothing that could be given back.
    assert_eq!(stores.token_quotas.release_expired(a_time() + TimeDelta::days(1)).await.unwrap(), 2);
    assert_eq!(users_day(stores, user.id).await, counted(0, 0));
}

/// A quota is a promise, not a hint: however many come at once, and from wherever.
pub async fn of_fifty_at_once_against_a_quota_for_ten_exactly_ten_pass(stores: &Stores) {
    let user = stores.add_a_user().await;
    let outcomes = all_at_once(50, || {
        let quotas = stores.token_quotas.clone();
        async move { quotas.reserve(a_token_reservation(user.id), of_user(1099)).await.unwrap() }
    })
    .await;
    let passed = outcomes.iter().filter(|outcome| **outcome == ReservationOutcome::Reserved).count();
    assert_eq!(passed, 10, "{outcomes:?}");
    assert_eq!(users_day(stores, user.id).await, counted(0, 1000));
}

/// The same where the key's quota is the tighter one; what it refuses is not held against the user.
pub async fn of_fifty_at_once_against_a_keys_quota_for_ten_exactly_ten_pass(stores: &Stores) {
    let user = stores.add_a_user().await;
    let key = a_key(stores, user.id).await;
    let outcomes = all_at_once(50, || {
        let quotas = stores.token_quotas.clone();
        let reservation = TokenReservation { api_key_id: Some(key), ..a_token_reservation(user.id) };
        let quota = TokenQuota { user: Some(10_000), api_key: Some(1000) };
        async move { quotas.reserve(reservation, quota).await.unwrap() }
    })
    .await;
    let passed = outcomes.iter().filter(|outcome| **outcome == ReservationOutcome::Reserved).count();
    assert_eq!(passed, 10, "{outcomes:?}");
    assert_eq!(users_day(stores, user.id).await, counted(0, 1000));
    assert_eq!(keys_day(stores, key).await, counted(0, 1000));
}

/// Reserving, settling and giving back at once, the counts come out right and nobody waits for ever.
pub async fn after_any_number_of_generations_at_once_nothing_stays_set_aside(stores: &Stores) {
    let user = stores.add_a_user().await;
    let key = a_key(stores, user.id).await;
    all_at_once(30, || {
        let quotas = stores.token_quotas.clone();
        let reservation = TokenReservation { api_key_id: Some(key), ..a_token_reservation(user.id) };
        async move {
            quotas.reserve(reservation, NO_QUOTA).await.unwrap();
            quotas.release_expired(a_time()).await.unwrap();
            quotas.settle(reservation.id, 7).await.unwrap();
        }
    })
    .await;
    assert_eq!(users_day(stores, user.id).await, counted(210, 0));
    assert_eq!(keys_day(stores, key).await, counted(210, 0));
}

/// What a process that died had set aside is not lost to its user.
pub async fn what_nobody_settled_is_given_back_at_its_end(stores: &Stores) {
    let (user, other) = (stores.add_a_user().await, stores.add_a_user().await);
    let key = a_key(stores, user.id).await;
    let end = a_time() + TimeDelta::hours(1);
    let lost = reserved(stores, TokenReservation { api_key_id: Some(key), ..a_token_reservation(user.id) }).await;
    reserved(stores, a_token_reservation(user.id)).await;
    reserved(stores, a_token_reservation(other.id)).await;
    let longer = TokenReservation { expires_at: end + TimeDelta::microseconds(1), ..a_token_reservation(user.id) };
    let running = reserved(stores, longer).await;

    assert_eq!(stores.token_quotas.release_expired(end - TimeDelta::microseconds(1)).await.unwrap(), 0);
    assert_eq!(stores.token_quotas.release_expired(end).await.unwrap(), 3);
    assert_eq!(stores.token_quotas.release_expired(end).await.unwrap(), 0);
    assert_eq!(users_day(stores, user.id).await, counted(0, 100));
    assert_eq!(keys_day(stores, key).await, counted(0, 0));
    assert_eq!(users_day(stores, other.id).await, counted(0, 0));

    stores.token_quotas.settle(lost.id, 50).await.unwrap();
    assert_eq!(users_day(stores, user.id).await, counted(0, 100), "what was released is settled");
    stores.token_quotas.settle(running.id, 50).await.unwrap();
    assert_eq!(users_day(stores, user.id).await, counted(50, 0));
}

/// Two of one name would be settled as one.
pub async fn a_reservation_cannot_be_made_twice(stores: &Stores) {
    let user = stores.add_a_user().await;
    let reservation = reserved(stores, a_token_reservation(user.id)).await;
    let again = stores.token_quotas.reserve(reservation, NO_QUOTA).await;
    assert_eq!(error_of(again), StoreError::Conflict { field: "id" });
    assert_eq!(users_day(stores, user.id).await, counted(0, 100));
}

/// There is nobody's day that they could count against.
pub async fn tokens_of_a_user_or_key_that_is_not_there_are_not_found(stores: &Stores) {
    let user = stores.add_a_user().await;
    let nobodys = stores.token_quotas.reserve(a_token_reservation(a_user_id()), NO_QUOTA).await;
    assert_eq!(error_of(nobodys), StoreError::NotFound);
    let by_no_key = TokenReservation { api_key_id: Some(ApiKeyId::new(a_uuid())), ..a_token_reservation(user.id) };
    assert_eq!(error_of(stores.token_quotas.reserve(by_no_key, NO_QUOTA).await), StoreError::NotFound);
    assert_eq!(users_day(stores, user.id).await, counted(0, 0));
}

/// Its user used the tokens all the same.
pub async fn a_generation_whose_key_was_removed_is_settled_for_its_user(stores: &Stores) {
    let user = stores.add_a_user().await;
    let key = a_key(stores, user.id).await;
    let by_key = TokenReservation { api_key_id: Some(key), ..a_token_reservation(user.id) };
    reserved(stores, by_key).await;
    stores.api_keys.remove(user.id, key).await.unwrap();
    assert_eq!(keys_day(stores, key).await, counted(0, 0));
    stores.token_quotas.settle(by_key.id, 30).await.unwrap();
    assert_eq!(users_day(stores, user.id).await, counted(30, 0));
}

/// Removing it cuts its generations, which are then settled at that very moment: none of the two may make the other fail.
pub async fn an_account_is_removed_while_its_tokens_are_counted(stores: &Stores) {
    for delay_ms in 0..5 {
        let user = stores.add_a_user().await;
        let key = a_key(stores, user.id).await;
        let (users, keys) = (stores.users.clone(), stores.api_keys.clone());
        let counting = all_at_once(16, || {
            let quotas = stores.token_quotas.clone();
            let reservation = TokenReservation { api_key_id: Some(key), ..a_token_reservation(user.id) };
            async move {
                for reservation in [reservation, TokenReservation { id: a_uuid(), ..reservation }] {
                    match quotas.reserve(reservation, NO_QUOTA).await {
                        Ok(_) => quotas.settle(reservation.id, 7).await.unwrap(),
                        Err(error) => assert_eq!(error, StoreError::NotFound),
                    }
                }
            }
        });
        let removing = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(delay_ms)).await;
            keys.remove(user.id, key).await.unwrap();
            users.remove(user.id).await.unwrap();
        });
        counting.await;
        removing.await.unwrap();
        assert_eq!(users_day(stores, user.id).await, counted(0, 0));
    }
}

/// With what was running for them.
pub async fn a_removed_accounts_tokens_are_gone(stores: &Stores) {
    let user = stores.add_a_user().await;
    let key = a_key(stores, user.id).await;
    let by_key = TokenReservation { api_key_id: Some(key), ..a_token_reservation(user.id) };
    reserved(stores, by_key).await;
    stores.users.remove(user.id).await.unwrap();
    assert_eq!(users_day(stores, user.id).await, counted(0, 0));
    assert_eq!(keys_day(stores, key).await, counted(0, 0));
    stores.token_quotas.settle(by_key.id, 30).await.unwrap();
    assert_eq!(stores.token_quotas.release_expired(a_time() + TimeDelta::days(1)).await.unwrap(), 0);
    assert_eq!(users_day(stores, user.id).await, counted(0, 0));
}

/// Makes a test of every story, of what `$make` gives.
#[macro_export]
macro_rules! token_quota_store_contract {
    ($make:path) => {
        $crate::stories! {
            $make, token_quota_store,
            a_day_begins_with_nothing,
            tokens_are_set_aside_while_they_fit_the_quota,
            more_than_the_whole_quota_never_fits,
            tokens_are_counted_also_without_a_quota,
            settling_counts_what_was_used_and_gives_back_the_rest,
            more_than_was_set_aside_counts_too,
            what_was_used_without_a_reservation_counts_too,
            tokens_that_are_counted_at_once_are_all_counted,
            what_was_used_counts_for_the_user_of_a_key_that_is_gone_and_for_nobody_who_is,
            settling_again_changes_nothing,
            each_day_counts_by_itself,
            each_user_counts_by_themselves,
            a_keys_tokens_count_for_it_and_for_its_user,
            a_reservation_against_two_quotas_is_all_or_nothing,
            of_fifty_at_once_against_a_quota_for_ten_exactly_ten_pass,
            of_fifty_at_once_against_a_keys_quota_for_ten_exactly_ten_pass,
            after_any_number_of_generations_at_once_nothing_stays_set_aside,
            what_nobody_settled_is_given_back_at_its_end,
            a_reservation_cannot_be_made_twice,
            tokens_of_a_user_or_key_that_is_not_there_are_not_found,
            a_generation_whose_key_was_removed_is_settled_for_its_user,
            an_account_is_removed_while_its_tokens_are_counted,
            a_removed_accounts_tokens_are_gone,
        }
    };
}
