//! What several use cases stand on, and the ones that the command line has in common with the server.

use std::sync::Arc;

use adapters_auth::{BcryptConfig, BcryptHasher, RandomOneTimeCodes};
use adapters_db::{DbAuditLog, DbOneTimeCodeStore, DbPool, DbSessionStore, DbUserStore};
use ports::{AuditLog, Background, Clock, PasswordHasher, Randomness, SessionStore, SignInThrottle, UserStore};
use services::{AccountPorts, AccountService, AuditService, AuditTrail};

use crate::config::{AccountsConfig, Config};
use crate::start_error::StartError;
use crate::system::{SystemClock, SystemRandomness};

/// Adapters of which there is one, whoever uses it: what bounds a work together must be the same everywhere.
pub(crate) struct Shared {
    database: DbPool,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) randomness: Arc<dyn Randomness>,
    pub(super) users: Arc<dyn UserStore>,
    pub(super) sessions: Arc<dyn SessionStore>,
    pub(super) hasher: Arc<dyn PasswordHasher>,
    audit_log: Arc<dyn AuditLog>,
    background: Arc<dyn Background>,
}

impl Shared {
    /// What must be done to its end, whoever goes away, runs in `background`.
    pub(crate) fn new(config: &Config, database: &DbPool, background: Arc<dyn Background>) -> Result<Self, StartError> {
        Ok(Self {
            clock: Arc::new(SystemClock),
            randomness: Arc::new(SystemRandomness),
            users: Arc::new(DbUserStore::new(database.clone())),
            sessions: Arc::new(DbSessionStore::new(database.clone())),
            hasher: Arc::new(password_hasher(&config.accounts)?),
            audit_log: Arc::new(DbAuditLog::new(database.clone())),
            database: database.clone(),
            background,
        })
    }

    pub(super) fn audit_trail(&self) -> AuditTrail {
        AuditTrail::new(Arc::clone(&self.audit_log), Arc::clone(&self.clock), Arc::clone(&self.background))
    }

    /// The use cases around the audit log.
    pub(crate) fn audit(&self) -> AuditService {
        AuditService::new(Arc::clone(&self.audit_log))
    }

    /// The use cases around accounts.
    pub(crate) fn accounts(&self, config: &AccountsConfig, throttle: Arc<dyn SignInThrottle>) -> AccountService {
        let ports = AccountPorts {
            users: Arc::clone(&self.users),
            hasher: Arc::clone(&self.hasher),
            throttle,
            codes: Arc::new(DbOneTimeCodeStore::new(self.database.clone())),
            code_maker: Arc::new(RandomOneTimeCodes),
            clock: Arc::clone(&self.clock),
            randomness: Arc::clone(&self.randomness),
            audit: self.audit_trail(),
        };
        AccountService::new(ports, config.registration)
    }
}

fn password_hasher(accounts: &AccountsConfig) -> Result<BcryptHasher, StartError> {
    let config = BcryptConfig {
        cost: accounts.bcrypt_cost,
        max_concurrent: accounts.max_concurrent_hashes,
        max_waiting: accounts.max_waiting_hashes,
    };
    BcryptHasher::new(config).map_err(|error| StartError::System(format!("BCRYPT_COST: {error}")))
}
