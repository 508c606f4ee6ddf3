//! Tokens a day in memory.

use async_trait::async_trait;
use chrono::NaiveDate;
use domain::{ApiKeyId, Timestamp, TokenQuota, TokenReservation, TokensOfDay, UserId};
use ports::{ReservationOutcome, StoreError, TokenQuotaStore, UsedTokens};
use uuid::Uuid;

use super::{FakeDatabase, Tables};

impl Tables {
    pub(super) fn forget_tokens_of(&mut self, user_id: UserId) {
        self.token_reservations.retain(|_, reservation| reservation.user_id != user_id);
        self.token_days.retain(|(owner, _), _| *owner != user_id);
    }

    /// Ends a reservation, if it is there.
    fn settle(&mut self, id: Uuid, used_tokens: u32) {
        let Some(ended) = self.token_reservations.remove(&id) else { return };
        let of_user = self.token_days.get_mut(&(ended.user_id, ended.day));
        let of_key = ended.api_key_id.and_then(|key| self.api_key_token_days.get_mut(&(key, ended.day)));
        for day in [of_user, of_key].into_iter().flatten() {
            day.reserved -= u64::from(ended.tokens);
            day.used += u64::from(used_tokens);
        }
    }
}

/// What to answer if these tokens do not fit beside those of the day.
fn refusal(of_day: TokensOfDay, asked: u32, quota: Option<u64>) -> Option<ReservationOutcome> {
    let quota = quota.filter(|quota| of_day.used + of_day.reserved + u64::from(asked) > *quota)?;
    Some(ReservationOutcome::Exceeded { quota, tokens: of_day })
}

#[async_trait]
impl TokenQuotaStore for FakeDatabase {
    async fn reserve(&self, reservation: TokenReservation, quota: TokenQuota) -> Result<ReservationOutcome, StoreError> {
        let mut tables = self.tables()?;
        let TokenReservation { id, user_id, api_key_id, tokens, day, .. } = reservation;
        if !tables.users.contains_key(&user_id) || api_key_id.is_some_and(|key| !tables.api_keys.contains_key(&key)) {
            return Err(StoreError::NotFound);
        }
        if tables.token_reservations.contains_key(&id) {
            return Err(StoreError::Conflict { field: "id" });
        }
        let of_user = tables.token_days.get(&(user_id, day)).copied().unwrap_or_default();
        if let Some(refused) = refusal(of_user, tokens, quota.user) {
            return Ok(refused);
        }
        if let Some(key) = api_key_id {
            let of_key = tables.api_key_token_days.entry((key, day)).or_default();
            if let Some(refused) = refusal(*of_key, tokens, quota.api_key) {
                return Ok(refused);
            }
            of_key.reserved += u64::from(tokens);
        }
        tables.token_days.entry((user_id, day)).or_default().reserved += u64::from(tokens);
        tables.token_reservations.insert(id, reservation);
        Ok(ReservationOutcome::Reserved)
    }

    async fn settle(&self, id: Uuid, used_tokens: u32) -> Result<(), StoreError> {
        self.tables()?.settle(id, used_tokens);
        Ok(())
    }

    async fn count(&self, used: UsedTokens) -> Result<(), StoreError> {
        let mut tables = self.tables()?;
        let UsedTokens { user_id, api_key_id, day, tokens } = used;
        if !tables.users.contains_key(&user_id) {
            return Err(StoreError::NotFound);
        }
        tables.token_days.entry((user_id, day)).or_default().used += u64::from(tokens);
        if let Some(key) = api_key_id.filter(|key| tables.api_keys.contains_key(key)) {
            tables.api_key_token_days.entry((key, day)).or_default().used += u64::from(tokens);
        }
        Ok(())
    }

    async fn release_expired(&self, now: Timestamp) -> Result<u64, StoreError> {
        let mut tables = self.tables()?;
        let expired: Vec<_> = tables.token_reservations.values().filter(|kept| kept.expires_at <= now).map(|r| r.id).collect();
        for id in &expired {
            tables.settle(*id, 0);
        }
        Ok(u64::try_from(expired.len()).unwrap())
    }

    async fn of_user(&self, user_id: UserId, day: NaiveDate) -> Result<TokensOfDay, StoreError> {
        Ok(self.tables()?.token_days.get(&(user_id, day)).copied().unwrap_or_default())
    }

    async fn of_api_key(&self, api_key_id: ApiKeyId, day: NaiveDate) -> Result<TokensOfDay, StoreError> {
        Ok(self.tables()?.api_key_token_days.get(&(api_key_id, day)).copied().unwrap_or_default())
    }
}
