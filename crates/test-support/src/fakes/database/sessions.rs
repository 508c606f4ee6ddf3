//! Sign-ins in memory.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use domain::{RefreshTokenHash, Session, SessionId, User, UserId};
use ports::{Rotation, SessionStore, StoreError};

use super::{FakeDatabase, RefreshTokenRow, Tables};

/// The most sessions that one list shows, as the port says.
const MAX_LISTED: usize = 200;

#[async_trait]
impl SessionStore for FakeDatabase {
    async fn add(&self, session: Session, token: RefreshTokenHash) -> Result<(), StoreError> {
        let mut tables = self.tables()?;
        if !tables.users.contains_key(&session.user_id) {
            return Err(StoreError::NotFound);
        }
        if tables.sessions.contains_key(&session.id) || tables.refresh_tokens.contains_key(&token) {
            return Err(StoreError::Conflict { field: "id" });
        }
        tables.refresh_tokens.insert(token, RefreshTokenRow { session_id: session.id, spent: false });
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
        if token.spent {
            let reused = session.clone();
            session.revoked_at = Some(now);
            return Ok(Rotation::Reused(reused));
        }
        token.spent = true;
        session.last_used_at = now;
        session.expires_at = expires_at;
        let rotated = session.clone();
        refresh_tokens.insert(next, RefreshTokenRow { session_id, spent: false });
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

    async fn revoke_all(&self, user_id: UserId, except: Option<SessionId>, now: DateTime<Utc>) -> Result<u64, StoreError> {
        let mut tables = self.tables()?;
        let ending = |s: &&mut Session| s.user_id == user_id && Some(s.id) != except && s.is_alive(now);
        let mut ended = 0;
        for session in tables.sessions.values_mut().filter(ending) {
            session.revoked_at = Some(now);
            ended += 1;
        }
        Ok(ended)
    }

    async fn list_alive(&self, user_id: UserId, now: DateTime<Utc>) -> Result<Vec<Session>, StoreError> {
        let tables = self.tables()?;
        let mut alive: Vec<_> = tables.sessions.values().filter(|s| s.user_id == user_id && s.is_alive(now)).cloned().collect();
        alive.sort_by_key(|session| std::cmp::Reverse((session.last_used_at, session.id)));
        alive.truncate(MAX_LISTED);
        Ok(alive)
    }

    async fn sweep(&self, ended_before: DateTime<Utc>) -> Result<u64, StoreError> {
        let mut tables = self.tables()?;
        let Tables { sessions, refresh_tokens, .. } = &mut *tables;
        let before = sessions.len();
        let ended = |session: &Session| session.revoked_at.unwrap_or(session.expires_at).min(session.expires_at) < ended_before;
        sessions.retain(|_, session| !ended(session));
        refresh_tokens.retain(|_, token| sessions.contains_key(&token.session_id));
        Ok(u64::try_from(before - sessions.len()).unwrap())
    }
}
