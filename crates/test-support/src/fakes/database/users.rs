//! Accounts in memory.

use async_trait::async_trait;
use domain::{Cursor, MediaKind, Page, PageRequest, PasswordHash, Role, User, UserId};
use ports::{LimitSubject, NewUser, RemovedRecords, StoreError, UserChange, UserStore};

use super::{FakeDatabase, Tables, page_of};

impl Tables {
    /// Adds an account, also on behalf of an invitation.
    pub(super) fn add_user(&mut self, new: NewUser) -> Result<User, StoreError> {
        if self.users.contains_key(&new.id) {
            return Err(StoreError::Conflict { field: "id" });
        }
        if self.users.values().any(|(user, _)| user.username == new.username) {
            return Err(StoreError::Conflict { field: "username" });
        }
        if new.email.is_some() && self.users.values().any(|(user, _)| user.email == new.email) {
            return Err(StoreError::Conflict { field: "email" });
        }
        let role = if self.users.is_empty() { Role::Admin } else { Role::User };
        let NewUser { id, username, email, password_hash, created_at } = new;
        let user = User { id, username, email, role, disabled: false, created_at };
        self.users.insert(id, (user.clone(), password_hash));
        Ok(user)
    }
}

#[async_trait]
impl UserStore for FakeDatabase {
    async fn add(&self, new: NewUser) -> Result<User, StoreError> {
        self.tables()?.add_user(new)
    }

    async fn get(&self, id: UserId) -> Result<User, StoreError> {
        self.tables()?.users.get(&id).map(|(user, _)| user.clone()).ok_or(StoreError::NotFound)
    }

    async fn find_by_login(&self, login: &str) -> Result<Option<(User, PasswordHash)>, StoreError> {
        let tables = self.tables()?;
        let by_name = tables.users.values().find(|(user, _)| user.username.as_str() == login);
        let by_address = || tables.users.values().find(|(user, _)| user.email.as_ref().is_some_and(|e| e.as_str() == login));
        Ok(by_name.or_else(by_address).cloned())
    }

    async fn password_hash(&self, id: UserId) -> Result<PasswordHash, StoreError> {
        self.tables()?.users.get(&id).map(|(_, hash)| hash.clone()).ok_or(StoreError::NotFound)
    }

    async fn list(&self, page: PageRequest) -> Result<Page<User>, StoreError> {
        let users = self.tables()?.users.values().map(|(user, _)| user.clone()).collect();
        Ok(page_of(users, page, |user| Cursor { created_at: user.created_at, id: user.id.uuid() }))
    }

    async fn change(&self, id: UserId, change: UserChange) -> Result<User, StoreError> {
        let mut tables = self.tables()?;
        let taken = |(user, _): &(User, PasswordHash)| user.id != id && user.email == change.email;
        if tables.users.contains_key(&id) && change.email.is_some() && tables.users.values().any(taken) {
            return Err(StoreError::Conflict { field: "email" });
        }
        let (user, hash) = tables.users.get_mut(&id).ok_or(StoreError::NotFound)?;
        if change.email.is_some() {
            user.email = change.email;
        }
        user.role = change.role.unwrap_or(user.role);
        user.disabled = change.disabled.unwrap_or(user.disabled);
        if let Some(new_hash) = change.password_hash {
            *hash = new_hash;
        }
        Ok(user.clone())
    }

    async fn remove(&self, id: UserId) -> Result<RemovedRecords, StoreError> {
        let mut tables = self.tables()?;
        tables.users.remove(&id).ok_or(StoreError::NotFound)?;
        let conversations = tables.forget_conversations_of(id);
        let of_kind =
            |kind| tables.media.values().filter(|record| record.user_id == Some(id) && record.kind() == kind).count() as u64;
        let (images, speeches) = (of_kind(MediaKind::Image), of_kind(MediaKind::Speech));
        let Tables { sessions, refresh_tokens, texts, user_model_defaults, api_keys, .. } = &mut *tables;
        let removed = RemovedRecords {
            sessions: sessions.values().filter(|session| session.user_id == id).count() as u64,
            api_keys: api_keys.values().filter(|(key, _)| key.user_id == id).count() as u64,
            text_generations: texts.values().filter(|text| text.user_id == id).count() as u64,
            conversations,
            images,
            speeches,
        };
        sessions.retain(|_, session| session.user_id != id);
        refresh_tokens.retain(|_, token| sessions.contains_key(&token.session_id));
        texts.retain(|_, text| text.user_id != id);
        user_model_defaults.retain(|(user_id, _), _| *user_id != id);
        tables.forget_api_keys_of(id);
        tables.forget_tokens_of(id);
        tables.forget_one_time_codes_of(id);
        tables.limit_overrides.remove(&LimitSubject::User(id));
        tables.media.retain(|_, record| record.user_id != Some(id));
        Ok(removed)
    }
}
