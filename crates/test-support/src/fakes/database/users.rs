//! Accounts in memory.

use async_trait::async_trait;
use domain::{Cursor, Email, MediaKind, Page, PageRequest, PasswordHash, Role, User, UserId};
use ports::{ChangedUser, LimitSubject, NewUser, RemovedRecords, StoreError, UserChange, UserStore};

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
        if new.email.as_ref().is_some_and(|email| self.is_anothers_login(new.id, email)) {
            return Err(StoreError::Conflict { field: "email" });
        }
        let as_address = Email::folded(new.username.as_str());
        if self.users.values().any(|(user, _)| user.email.as_ref().is_some_and(|email| email.as_str() == as_address)) {
            return Err(StoreError::Conflict { field: "username" });
        }
        let role = if self.users.is_empty() { Role::Admin } else { Role::User };
        let NewUser { id, username, email, password_hash, created_at } = new;
        let user = User { id, username, email, role, disabled: false, created_at };
        self.users.insert(id, (user.clone(), password_hash));
        Ok(user)
    }

    /// Whether somebody else signs in by this address, or by a name that is this address.
    fn is_anothers_login(&self, id: UserId, email: &Email) -> bool {
        let signs_in_by_it =
            |user: &User| user.email.as_ref() == Some(email) || Email::folded(user.username.as_str()) == email.as_str();
        self.users.values().any(|(user, _)| user.id != id && signs_in_by_it(user))
    }

    /// Whether this account may lose what makes it an admin: nobody else is left, or an enabled admin is.
    fn is_not_the_last_admin(&self, id: UserId, others_must_remain: bool) -> bool {
        let is_an_admin = |user: &User| user.role == Role::Admin && !user.disabled;
        let mut others = self.users.values().filter(|(user, _)| user.id != id).map(|(user, _)| user).peekable();
        let is_alone = others.peek().is_none() && !others_must_remain;
        is_alone || !self.users.get(&id).is_some_and(|(user, _)| is_an_admin(user)) || others.any(is_an_admin)
    }
}

#[async_trait]
impl UserStore for FakeDatabase {
    async fn add(&self, new: NewUser) -> Result<User, StoreError> {
        self.tables()?.add_user(new)
    }

    async fn add_first(&self, new: NewUser) -> Result<User, StoreError> {
        let mut tables = self.tables()?;
        if !tables.users.is_empty() {
            return Err(StoreError::Conflict { field: "first" });
        }
        tables.add_user(new)
    }

    async fn get(&self, id: UserId) -> Result<User, StoreError> {
        self.tables()?.users.get(&id).map(|(user, _)| user.clone()).ok_or(StoreError::NotFound)
    }

    async fn find_by_login(&self, login: &str) -> Result<Option<(User, PasswordHash)>, StoreError> {
        let tables = self.tables()?;
        let by_name = tables.users.values().find(|(user, _)| user.username.as_str() == login);
        let folded = Email::folded(login);
        let by_address = || tables.users.values().find(|(user, _)| user.email.as_ref().is_some_and(|e| e.as_str() == folded));
        Ok(by_name.or_else(by_address).cloned())
    }

    async fn password_hash(&self, id: UserId) -> Result<PasswordHash, StoreError> {
        self.tables()?.users.get(&id).map(|(_, hash)| hash.clone()).ok_or(StoreError::NotFound)
    }

    async fn list(&self, page: PageRequest) -> Result<Page<User>, StoreError> {
        let users = self.tables()?.users.values().map(|(user, _)| user.clone()).collect();
        Ok(page_of(users, page, |user| Cursor { created_at: user.created_at, id: user.id.uuid() }))
    }

    async fn change(&self, id: UserId, change: UserChange) -> Result<ChangedUser, StoreError> {
        let mut tables = self.tables()?;
        let UserChange { email, password_hash, role, disabled, end_sessions } = change;
        let before = tables.users.get(&id).ok_or(StoreError::NotFound)?.0.clone();
        if email.as_ref().is_some_and(|email| email.as_ref().is_some_and(|email| tables.is_anothers_login(id, email))) {
            return Err(StoreError::Conflict { field: "email" });
        }
        let loses_power = role == Some(Role::User) || disabled == Some(true);
        if loses_power && !tables.is_not_the_last_admin(id, true) {
            return Err(StoreError::Conflict { field: "last_admin" });
        }
        let (user, hash) = tables.users.get_mut(&id).ok_or(StoreError::NotFound)?;
        user.email = email.unwrap_or(user.email.take());
        user.role = role.unwrap_or(user.role);
        user.disabled = disabled.unwrap_or(user.disabled);
        let after = user.clone();
        let ends = password_hash.is_some() || after != before;
        *hash = password_hash.unwrap_or_else(|| hash.clone());
        let end_sessions = end_sessions.filter(|_| ends);
        let ended_sessions = end_sessions.map_or(0, |ending| tables.end_sessions(id, ending.except, ending.at));
        Ok(ChangedUser { before, after, ended_sessions })
    }

    async fn remove(&self, id: UserId) -> Result<RemovedRecords, StoreError> {
        let mut tables = self.tables()?;
        if !tables.is_not_the_last_admin(id, false) {
            return Err(StoreError::Conflict { field: "last_admin" });
        }
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
