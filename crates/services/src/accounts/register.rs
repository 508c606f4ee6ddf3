//! Making an account.

use domain::{AuditAction, Email, PageLimit, PageRequest, Password, Refusal, RegistrationPolicy, User, UserId, Username};
use ports::{NewUser, StoreError};

use super::{AccountService, account_error};
use crate::ServiceError;
use crate::audit::Actor;

/// What a person gives to register.
#[derive(Default)]
pub struct Registration {
    /// See [`Username`].
    pub username: String,
    /// See [`Password`].
    pub password: String,
    /// See [`Email`].
    pub email: Option<String>,
    /// The code of an invitation, where the server asks for one.
    pub invitation: Option<String>,
    /// The address the person calls from.
    pub address: Option<String>,
}

impl AccountService {
    /// Makes an account; the first one becomes the admin, whatever the policy, because somebody must be.
    ///
    /// The name is not looked up before the password is hashed: the store alone can tell two who register the same name at once apart.
    pub async fn register(&self, registration: Registration) -> Result<User, ServiceError> {
        let Registration { username, password, email, invitation, address } = registration;
        let username = Username::new(username)?;
        let password = Password::new(password)?;
        let email = own_address(&username, email)?;
        let needs_invitation = self.needs_invitation(invitation.is_some()).await?;
        let new_user = self.new_user(username.clone(), &password, email).await?;
        let added = match invitation.filter(|_| needs_invitation) {
            Some(code) => self.codes.redeem_invitation(self.code_maker.hash(&code), new_user, self.clock.now()).await,
            None => self.users.add(new_user).await,
        };
        let user = added.map_err(|error| match error {
            StoreError::NotFound => ServiceError::InvalidCode,
            other => account_error(other, username.as_str()),
        })?;
        tracing::info!(user_id = %user.id, role = user.role.as_str(), "account registered");
        let actor = Actor { id: Some(user.id), address: address.as_deref() };
        self.audit.record(AuditAction::AccountRegistered, actor, format!("user:{}", user.id), user.role.as_str()).await;
        Ok(user)
    }

    /// Makes an account whatever the policy: for who has the command line.
    pub async fn create(&self, username: String, password: String) -> Result<User, ServiceError> {
        let username = Username::new(username)?;
        let new_user = self.new_user(username.clone(), &Password::new(password)?, None).await?;
        let user = self.users.add(new_user).await.map_err(|error| account_error(error, username.as_str()))?;
        let subject = format!("user:{}", user.id);
        self.audit.record(AuditAction::AccountRegistered, Actor::default(), subject, "by the command line").await;
        Ok(user)
    }

    async fn new_user(&self, username: Username, password: &Password, email: Option<Email>) -> Result<NewUser, ServiceError> {
        let password_hash = self.hasher.hash(password).await?;
        let id = UserId::new(self.randomness.uuid_v7());
        Ok(NewUser { id, username, email, password_hash, created_at: self.clock.now() })
    }

    /// Whether an invitation must be spent, or [`ServiceError::RegistrationClosed`] where none would help.
    async fn needs_invitation(&self, has_one: bool) -> Result<bool, ServiceError> {
        if self.policy == RegistrationPolicy::Open {
            return Ok(false);
        }
        let one = PageRequest { after: None, limit: PageLimit::new(1)? };
        let is_first = self.users.list(one).await.map_err(ServiceError::Store)?.items.is_empty();
        match self.policy {
            RegistrationPolicy::Open => Ok(false),
            _ if is_first => Ok(false),
            RegistrationPolicy::Invite if has_one => Ok(true),
            RegistrationPolicy::Invite | RegistrationPolicy::Closed => Err(ServiceError::RegistrationClosed),
        }
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
