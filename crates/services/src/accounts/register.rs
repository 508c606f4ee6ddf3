//! Making an account.

use domain::{Email, Password, User, UserId, Username};
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
        let email = registration.email.map(Email::new).transpose()?;
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
