//! Accounts in memory.

use async_trait::async_trait;
use domain::{Cursor, Page, PageRequest, PasswordHash, Role, User, UserId};
use ports::{NewUser, StoreError, UserChange, UserStore};

use super::{FakeDatabase, Tables, page_of};

#[async_trait]
impl UserStore for FakeDatabase {
    async fn add(&self, new: NewUser) -> Result<User, StoreError> {
        let mut tables = self.tables()?;
        if tables.users.contains_key(&new.id) {
            return Err(StoreError::Conflict { field: "id" });
        }
        if tables.users.values().any(|(user, _)| user.username == new.username) {
            return Err(StoreError::Conflict { field: "username" });
        }
        if new.email.is_some() && tables.users.values().any(|(user, _)| user.email == new.email) {
            return Err(StoreError::Conflict { field: "email" });
        }
        let role = if tables.users.is_empty() { Role::Admin } else { Role::User };
        let NewUser { id, username, email, password_hash, created_at } = new;
        let user = User { id, username, email, role, disabled: false, created_at };
        tables.users.insert(id, (user.clone(), password_hash));
        Ok(user)
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

    async fn remove(&self, id: UserId) -> Result<(), StoreError> {
        let mut tables = self.tables()?;
        tables.users.remove(&id).ok_or(StoreError::NotFound)?;
        let Tables { sessions, refresh_tokens, texts, user_model_defaults, .. } = &mut *tables;
        sessions.retain(|_, session| session.user_id != id);
        refresh_tokens.retain(|_, token| sessions.contains_key(&token.session_id));
        texts.retain(|_, text| text.user_id != id);
        user_model_defaults.retain(|(user_id, _), _| *user_id != id);
        Ok(())
    }
}
