//! Sign-ins in memory.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use domain::{Cursor, Page, PageRequest, RefreshTokenHash, Session, SessionId, User, UserId};
use ports::{Rotation, SessionStore, SignInTerms, StoreError};

use super::{FakeDatabase, RefreshTokenRow, Tables, page_of};

impl Tables {
    /// Ends every session of this user except one, and answers how many were alive.
    pub(super) fn end_sessions(&mut self, user_id: UserId, except: Option<SessionId>, now: DateTime<Utc>) -> u64 {
        let ending = |s: &&mut Session| s.user_id == user_id && Some(s.id) != except && s.is_alive(now);
        let mut ended = 0;
        for session in self.sessions.values_mut().filter(ending) {
            session.revoked_at = Some(now);
            ended += 1;
        }
        ended
    }
}

#[async_trait]
impl SessionStore for FakeDatabase {
    async fn add(&self, session: Session, token: RefreshTokenHash, terms: SignInTerms) -> Result<(), StoreError> {
        let mut tables = self.tables()?;
        let (user, password_hash) = tables.users.get(&session.user_id).ok_or(StoreError::NotFound)?;
        if user.disabled || *password_hash != terms.proven {
            return Err(StoreError::NotFound);
        }
        if tables.sessions.contains_key(&session.id) || tables.refresh_tokens.contains_key(&token) {
            return Err(StoreError::Conflict { field: "id" });
        }
        tables.refresh_tokens.insert(token, RefreshTokenRow { session_id: session.id, spent_at: None });
        let now = session.created_at;
        let is_alive = |s: &&mut Session| s.user_id == session.user_id && s.is_alive(now);
        let mut alive: Vec<_> = tables.sessions.values_mut().filter(is_alive).collect();
        alive.sort_by_key(|session| std::cmp::Reverse((session.last_used_at, session.id)));
        for ending in alive.into_iter().skip(terms.max_sessions as usize - 1) {
            ending.revoked_at = Some(now);
        }
        tables.sessions.insert(session.id, session);
        Ok(())
    }

    async fn get_with_user(&self, id: SessionId) -> Result<(Session, User), StoreError> {
        let tables = self.tables()?;
        let session = tables.sessions.get(&id).ok_or(StoreError::NotFound)?;
        let (user, _) = tables.users.get(&session.user_id).ok_or(StoreError::NotFound)?;
        Ok((session.clone(), user.clone()))
    }

    async fn rotate(
        &self,
        presented: RefreshTokenHash,
        next: RefreshTokenHash,
        now: DateTime<Utc>,
        expires_at: DateTime<Utc>,
    ) -> Result<Rotation, StoreError> {
        let mut tables = self.tables()?;
        let Tables { sessions, refresh_tokens, .. } = &mut *tables;
        let Some(token) = refresh_tokens.get_mut(&presented) else { return Ok(Rotation::Unknown) };
        let session_id = token.session_id;
        let Some(session) = sessions.get_mut(&session_id).filter(|s| s.is_alive(now)) else { return Ok(Rotation::Unknown) };
        if token.spent_at.is_some() {
            let reused = session.clone();
            session.revoked_at = Some(now);
            return Ok(Rotation::Reused(reused));
        }
        token.spent_at = Some(now);
        session.last_used_at = now;
        session.expires_at = expires_at;
        let rotated = session.clone();
        refresh_tokens.insert(next, RefreshTokenRow { session_id, spent_at: None });
        Ok(Rotation::Rotated(rotated))
    }

    async fn revoke_by_token(&self, token: RefreshTokenHash, now: DateTime<Utc>) -> Result<Option<SessionId>, StoreError> {
        let mut tables = self.tables()?;
        let Some(id) = tables.refresh_tokens.get(&token).map(|row| row.session_id) else { return Ok(None) };
        if let Some(session) = tables.sessions.get_mut(&id).filter(|session| session.is_alive(now)) {
            session.revoked_at = Some(now);
        }
        Ok(Some(id))
    }

    async fn revoke(&self, user_id: UserId, id: SessionId, now: DateTime<Utc>) -> Result<(), StoreError> {
        let mut tables = self.tables()?;
        let session = tables.sessions.get_mut(&id).filter(|session| session.user_id == user_id).ok_or(StoreError::NotFound)?;
        if session.is_alive(now) {
            session.revoked_at = Some(now);
        }
        Ok(())
    }

    async fn list_alive(&self, user_id: UserId, now: DateTime<Utc>, page: PageRequest) -> Result<Page<Session>, StoreError> {
        let tables = self.tables()?;
        let alive = tables.sessions.values().filter(|s| s.user_id == user_id && s.is_alive(now)).cloned().collect();
        Ok(page_of(alive, page, |session: &Session| Cursor { created_at: session.last_used_at, id: session.id.uuid() }))
    }

    async fn sweep(&self, ended_before: DateTime<Utc>, spent_before: DateTime<Utc>) -> Result<u64, StoreError> {
        let mut tables = self.tables()?;
        let Tables { sessions, refresh_tokens, .. } = &mut *tables;
        let before = sessions.len();
        let ended = |session: &Session| session.revoked_at.unwrap_or(session.expires_at).min(session.expires_at) < ended_before;
        sessions.retain(|_, session| !ended(session));
        let is_fresh = |token: &RefreshTokenRow| token.spent_at.is_none_or(|spent_at| spent_at >= spent_before);
        refresh_tokens.retain(|_, token| sessions.contains_key(&token.session_id) && is_fresh(token));
        Ok(u64::try_from(before - sessions.len()).unwrap())
    }
}
