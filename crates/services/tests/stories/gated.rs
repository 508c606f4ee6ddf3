//! Stores that keep their callers waiting, as a database does whose single writer is busy.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::NaiveDate;
use domain::{
    ApiKeyId, Page, PageRequest, TextGeneration, TextGenerationId, Timestamp, TokenQuota, TokenReservation, TokensOfDay, UserId,
};
use ports::{RecordScope, ReservationOutcome, StoreError, TextEdit, TextGenerationStore, TokenQuotaStore, UsedTokens};
use test_support::FakeDatabase;
use tokio::sync::Semaphore;
use uuid::Uuid;

/// A database that writes nothing at the end of a generation until it is opened.
pub struct Gated {
    pub database: Arc<FakeDatabase>,
    gate: Semaphore,
}

impl Gated {
    pub fn shut() -> Arc<Self> {
        Arc::new(Self { database: Arc::default(), gate: Semaphore::new(0) })
    }

    pub fn open(&self) {
        self.gate.add_permits(1000);
    }

    async fn pass(&self) {
        self.gate.acquire().await.unwrap().forget();
    }
}

#[async_trait]
impl TextGenerationStore for Gated {
    async fn add(&self, text: TextGeneration) -> Result<(), StoreError> {
        self.pass().await;
        TextGenerationStore::add(&*self.database, text).await
    }

    async fn get(&self, scope: RecordScope, id: TextGenerationId) -> Result<TextGeneration, StoreError> {
        TextGenerationStore::get(&*self.database, scope, id).await
    }

    async fn list(&self, scope: RecordScope, page: PageRequest) -> Result<Page<TextGeneration>, StoreError> {
        TextGenerationStore::list(&*self.database, scope, page).await
    }

    async fn count(&self, scope: RecordScope) -> Result<u64, StoreError> {
        TextGenerationStore::count(&*self.database, scope).await
    }

    async fn edit(&self, scope: RecordScope, id: TextGenerationId, edit: TextEdit) -> Result<TextGeneration, StoreError> {
        TextGenerationStore::edit(&*self.database, scope, id, edit).await
    }

    async fn remove(&self, scope: RecordScope, id: TextGenerationId) -> Result<(), StoreError> {
        TextGenerationStore::remove(&*self.database, scope, id).await
    }
}

#[async_trait]
impl TokenQuotaStore for Gated {
    async fn reserve(&self, reservation: TokenReservation, quota: TokenQuota) -> Result<ReservationOutcome, StoreError> {
        self.database.reserve(reservation, quota).await
    }

    async fn settle(&self, id: Uuid, used_tokens: u32) -> Result<(), StoreError> {
        self.pass().await;
        self.database.settle(id, used_tokens).await
    }

    async fn count(&self, used: UsedTokens) -> Result<(), StoreError> {
        self.pass().await;
        TokenQuotaStore::count(&*self.database, used).await
    }

    async fn release_expired(&self, now: Timestamp) -> Result<u64, StoreError> {
        self.database.release_expired(now).await
    }

    async fn of_user(&self, user_id: UserId, day: NaiveDate) -> Result<TokensOfDay, StoreError> {
        self.database.of_user(user_id, day).await
    }

    async fn of_api_key(&self, api_key_id: ApiKeyId, day: NaiveDate) -> Result<TokensOfDay, StoreError> {
        self.database.of_api_key(api_key_id, day).await
    }
}
