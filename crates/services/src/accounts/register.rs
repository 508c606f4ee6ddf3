//! Making an account.

use domain::{Email, Password, Refusal, User, UserId, Username};
use ports::NewUser;

use super::{AccountService, account_error};
use crate::ServiceError;

/// What a person gives to register.
pub struct Registration {
    /// See [`Username`].
    pub username: String,
    /// See [`Password`].
    pub password: String,
    /// See [`Email`].
    pub email: Option<String>,
}

impl AccountService {
    /// Makes an account; the first one becomes the admin.
    ///
    /// The name is not looked up before the password is hashed: the store alone can tell two who register the same name at once apart.
    pub async fn register(&self, registration: Registration) -> Result<User, ServiceError> {
        let username = Username::new(registration.username)?;
        let password = Password::new(registration.password)?;
        let email = own_address(&username, registration.email)?;
        let password_hash = self.hasher.hash(&password).await?;
        let new_user = NewUser {
            id: UserId::new(self.randomness.uuid_v7()),
            username: username.clone(),
            email,
            password_hash,
            created_at: self.clock.now(),
        };
        let user = self.users.add(new_user).await.map_err(|error| account_error(error, username.as_str()))?;
        tracing::info!(user_id = %user.id, role = user.role.as_str(), "account registered");
        Ok(user)
    }
}

/// An account signs in by its name or by its address; a name that looks like an address must therefore be the account's own, or somebody
/// could register another's address as a name and catch their sign-ins.
fn own_address(username: &Username, email: Option<String>) -> Result<Option<Email>, ServiceError> {
    if !username.as_str().contains('@') {
        return Ok(email.map(Email::new).transpose()?);
    }
    match email {
        Some(email) if email != username.as_str() => {
            Err(Refusal::field("username", "must not look like an address other than the account's own email").into())
        }
        _ => {
            let own = Email::new(username.as_str());
            own.map(Some).map_err(|_| Refusal::field("username", "must be an address where it has an @").into())
        }
    }
}
