//! The stories of [`ports::PasswordHasher`].

use std::sync::Arc;

use domain::{Password, PasswordHash};
use ports::{HashingError, PasswordHasher};

/// The hasher under test.
pub type Subject = Arc<dyn PasswordHasher>;

fn password(text: &str) -> Password {
    Password::new(text).unwrap()
}

/// Not one that begins alike, and not the hash itself.
pub async fn the_password_and_no_other_is_accepted(hasher: &Subject) {
    let hash = hasher.hash(&password("contraseña 1")).await.unwrap();
    assert!(hasher.verify("contraseña 1", Some(hash.clone())).await.unwrap());
    for other in ["", "contraseña", "contraseña 2", "Contraseña 1", "contraseña 1 ", "contraseña 1\0", hash.expose()] {
        assert!(!hasher.verify(other, Some(hash.clone())).await.unwrap(), "{other:?}");
    }
}

/// The 72nd byte counts, and a longer candidate is another password.
pub async fn every_byte_of_the_longest_password_counts(hasher: &Subject) {
    let longest = "ñ".repeat(36);
    let hash = hasher.hash(&password(&longest)).await.unwrap();
    assert!(hasher.verify(&longest, Some(hash.clone())).await.unwrap());
    assert!(!hasher.verify(&"ñ".repeat(35), Some(hash.clone())).await.unwrap());
    assert!(!hasher.verify(&format!("{longest}x"), Some(hash.clone())).await.unwrap());
    assert!(!hasher.verify(&"ñ".repeat(5000), Some(hash.clone())).await.unwrap());
}

/// Both fit the password all the same.
pub async fn two_hashes_of_one_password_differ(hasher: &Subject) {
    let one = hasher.hash(&password("the same")).await.unwrap();
    let other = hasher.hash(&password("the same")).await.unwrap();
    assert_ne!(one.expose(), other.expose());
    assert!(hasher.verify("the same", Some(one)).await.unwrap());
    assert!(hasher.verify("the same", Some(other)).await.unwrap());
}

/// Without an account nothing is right, the empty password included.
pub async fn without_a_hash_no_password_is_accepted(hasher: &Subject) {
    for candidate in ["", "12345678", "x"] {
        assert!(!hasher.verify(candidate, None).await.unwrap());
    }
}

/// It is told, not taken for a wrong password.
pub async fn a_hash_that_cannot_be_read_is_an_error(hasher: &Subject) {
    let damaged = PasswordHash::new("not a hash");
    assert!(matches!(hasher.verify("12345678", Some(damaged)).await, Err(HashingError::Failed(_))));
}

/// Makes a test of every story, of what `$make` gives.
#[macro_export]
macro_rules! password_hasher_contract {
    ($make:path) => {
        $crate::stories! {
            $make, password_hasher,
            the_password_and_no_other_is_accepted,
            every_byte_of_the_longest_password_counts,
            two_hashes_of_one_password_differ,
            without_a_hash_no_password_is_accepted,
            a_hash_that_cannot_be_read_is_an_error,
        }
    };
}
