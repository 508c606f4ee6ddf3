//! One-time codes in memory.

use async_trait::async_trait;
use domain::{CodePurpose, Cursor, OneTimeCode, OneTimeCodeHash, Page, PageRequest, PasswordHash, Timestamp, User, UserId};
use ports::{NewUser, OneTimeCodeStore, StoreError};

use super::{FakeDatabase, Tables, page_of};

impl Tables {
    pub(super) fn forget_one_time_codes_of(&mut self, user_id: UserId) {
        let is_theirs =
            |code: &OneTimeCode| code.created_by == Some(user_id) || code.purpose == CodePurpose::PasswordReset(user_id);
        self.one_time_codes.retain(|_, code| !is_theirs(code));
    }
}

#[async_trait]
impl OneTimeCodeStore for FakeDatabase {
    async fn add(&self, code: OneTimeCode, hash: OneTimeCodeHash) -> Result<(), StoreError> {
        let mut tables = self.tables()?;
        let account = match code.purpose {
            CodePurpose::Invitation => None,
            CodePurpose::PasswordReset(user_id) => Some(user_id),
        };
        if [account, code.created_by].into_iter().flatten().any(|id| !tables.users.contains_key(&id)) {
            return Err(StoreError::NotFound);
        }
        if account.is_some() {
            tables.one_time_codes.retain(|_, kept| kept.purpose != code.purpose);
        }
        if tables.one_time_codes.contains_key(&hash) || tables.one_time_codes.values().any(|kept| kept.id == code.id) {
            return Err(StoreError::Conflict { field: "id" });
        }
        tables.one_time_codes.insert(hash, code);
        Ok(())
    }

    async fn redeem_invitation(&self, hash: OneTimeCodeHash, user: NewUser, now: Timestamp) -> Result<User, StoreError> {
        let mut tables = self.tables()?;
        let usable = |code: &&OneTimeCode| code.purpose == CodePurpose::Invitation && now < code.expires_at;
        tables.one_time_codes.get(&hash).filter(usable).ok_or(StoreError::NotFound)?;
        let added = tables.add_user(user)?;
        tables.one_time_codes.remove(&hash);
        Ok(added)
    }

    async fn redeem_password_reset(
        &self,
        hash: OneTimeCodeHash,
        password_hash: PasswordHash,
        now: Timestamp,
    ) -> Result<UserId, StoreError> {
        let mut tables = self.tables()?;
        let code = tables.one_time_codes.get(&hash).filter(|code| now < code.expires_at).ok_or(StoreError::NotFound)?;
        let CodePurpose::PasswordReset(user_id) = code.purpose else { return Err(StoreError::NotFound) };
        tables.users.get_mut(&user_id).ok_or(StoreError::NotFound)?.1 = password_hash;
        tables.one_time_codes.remove(&hash);
        tables.end_sessions(user_id, None, now);
        Ok(user_id)
    }

    async fn list_invitations(&self, now: Timestamp, page: PageRequest) -> Result<Page<OneTimeCode>, StoreError> {
        let tables = self.tables()?;
        let waiting = |code: &&OneTimeCode| code.purpose == CodePurpose::Invitation && now < code.expires_at;
        let invitations = tables.one_time_codes.values().filter(waiting).cloned().collect();
        Ok(page_of(invitations, page, |code: &OneTimeCode| Cursor { created_at: code.created_at, id: code.id }))
    }

    async fn sweep(&self, expired_before: Timestamp) -> Result<u64, StoreError> {
        let codes = &mut self.tables()?.one_time_codes;
        let before = codes.len();
        codes.retain(|_, code| code.expires_at >= expired_before);
        Ok(u64::try_from(before - codes.len()).unwrap())
    }
}
