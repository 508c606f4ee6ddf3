//! How a store fails.

/// Why a store did not do what was asked. A failed call changed nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// No such record, or none in the caller's scope: the two cannot be told apart.
    #[error("not found")]
    NotFound,
    /// A record with this unique field exists already.
    #[error("{field} is taken")]
    Conflict {
        /// The field whose value is taken.
        field: &'static str,
    },
    /// The store cannot answer now: unreachable, out of connections within the wait allowed, out of disk. It may answer later.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// What is kept cannot be read as what it should be, or the store refused what the adapter sent. Trying again will not help.
    #[error("the store is damaged or does not fit this program: {0}")]
    Corrupt(String),
}
