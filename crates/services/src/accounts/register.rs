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
        let email = own_address(&username, email, "username")?;
        let entry = self.entry(invitation).await?;
        let new_user = self.new_user(username, &password, email).await?;
        let this = self.clone();
        let act = async move {
            let user = this.enter(entry, new_user).await?;
            let actor = Actor { id: Some(user.id), address };
            let subject = format!("user:{}", user.id);
            this.audit.record(AuditAction::AccountRegistered, actor, subject, user.role.as_str()).await;
            Ok(user)
        };
        let user = self.audit.see_through(act).await?;
        tracing::info!(user_id = %user.id, role = user.role.as_str(), "account registered");
        Ok(user)
    }

    /// Makes an account whatever the policy: for who has the command line.
    pub async fn create(&self, username: String, password: String) -> Result<User, ServiceError> {
        let username = Username::new(username)?;
        let email = own_address(&username, None, "username")?;
        let new_user = self.new_user(username, &Password::new(password)?, email).await?;
        let this = self.clone();
        let act = async move {
            let user = this.enter(Entry::Open, new_user).await?;
            let subject = format!("user:{}", user.id);
            this.audit.record(AuditAction::AccountRegistered, Actor::default(), subject, "by the command line").await;
            Ok(user)
        };
        self.audit.see_through(act).await
    }

    /// Adds the account by the way that was found for it.
    async fn enter(&self, entry: Entry, user: NewUser) -> Result<User, ServiceError> {
        let username = user.username.clone();
        let added = match entry {
            Entry::Open => self.users.add(user).await,
            Entry::First => self.users.add_first(user).await,
            Entry::Invited(code) => self.codes.redeem_invitation(self.code_maker.hash(&code), user, self.clock.now()).await,
        };
        added.map_err(|error| match error {
            StoreError::NotFound => ServiceError::InvalidCode,
            other => account_error(other, username.as_str()),
        })
    }

    async fn new_user(&self, username: Username, password: &Password, email: Option<Email>) -> Result<NewUser, ServiceError> {
        let password_hash = self.hasher.hash(password).await?;
        let id = UserId::new(self.randomness.uuid_v7());
        Ok(NewUser { id, username, email, password_hash, created_at: self.clock.now() })
    }

    /// The way in, or [`ServiceError::RegistrationClosed`] where there is none. Looked for before the password is hashed, which is dear;
    /// whether it is still there is for the store to say.
    async fn entry(&self, invitation: Option<String>) -> Result<Entry, ServiceError> {
        if self.policy == RegistrationPolicy::Open {
            return Ok(Entry::Open);
        }
        let one = PageRequest { after: None, limit: PageLimit::new(1)? };
        if self.users.list(one).await.map_err(ServiceError::Store)?.items.is_empty() {
            return Ok(Entry::First);
        }
        match (self.policy, invitation) {
            (RegistrationPolicy::Invite, Some(code)) => Ok(Entry::Invited(code)),
            _ => Err(ServiceError::RegistrationClosed),
        }
    }
}

/// By what somebody gets an account.
enum Entry {
    /// Everybody does.
    Open,
    /// Nobody is there yet.
    First,
    /// This invitation.
    Invited(String),
}

/// An account signs in by its name or by its address; a name that looks like an address must therefore be the account's own, or somebody
/// could register another's address as a name and catch their sign-ins.
/// `field` is what the person gave, and is told to be wrong.
pub(super) fn own_address(
    username: &Username,
    email: Option<String>,
    field: &'static str,
) -> Result<Option<Email>, ServiceError> {
    let email = email.map(Email::new).transpose()?;
    if !username.as_str().contains('@') {
        return Ok(email);
    }
    let own = Email::new(username.as_str()).map_err(|_| Refusal::field(field, "must be an address where it has an @"))?;
    match email {
        Some(email) if email != own => {
            let problem = "must not look like an address other than the account's own email";
            let problem = if field == "email" { "must be the account's name, which is an address" } else { problem };
            Err(Refusal::field(field, problem).into())
        }
        _ => Ok(Some(own)),
    }
}
