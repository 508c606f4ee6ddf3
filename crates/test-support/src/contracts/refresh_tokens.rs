//! The stories of [`ports::RefreshTokens`].

use std::collections::HashSet;
use std::sync::Arc;

use ports::{RefreshToken, RefreshTokens};

/// The maker of tokens under test.
pub type Subject = Arc<dyn RefreshTokens>;

/// Nor is a hash.
pub async fn no_token_is_drawn_twice(tokens: &Subject) {
    let drawn: Vec<_> = (0..1000).map(|_| tokens.draw()).collect();
    let texts: HashSet<_> = drawn.iter().map(|token| token.expose().to_owned()).collect();
    let hashes: HashSet<_> = drawn.iter().map(|token| tokens.hash(token)).collect();
    assert_eq!((texts.len(), hashes.len()), (1000, 1000));
}

/// That is how a token is found again.
pub async fn a_token_always_has_the_same_hash(tokens: &Subject) {
    let token = tokens.draw();
    let sent_back = RefreshToken::new(token.expose().to_owned());
    assert!(tokens.hash(&token) == tokens.hash(&sent_back));
}

/// Whoever reads the database cannot sign in with what they find.
pub async fn a_hash_is_not_its_token(tokens: &Subject) {
    let token = tokens.draw();
    assert_ne!(tokens.hash(&token).as_str(), token.expose());
}

/// Whatever a client may send as a token.
pub async fn any_text_has_a_hash(tokens: &Subject) {
    for text in ["", "\0", "ñ🐦", &"x".repeat(100_000)] {
        assert!(!tokens.hash(&RefreshToken::new(text)).as_str().contains('\0'));
    }
}

/// Makes a test of every story, of what `$make` gives.
#[macro_export]
macro_rules! refresh_tokens_contract {
    ($make:path) => {
        $crate::stories! {
            $make, refresh_tokens,
            no_token_is_drawn_twice,
            a_token_always_has_the_same_hash,
            a_hash_is_not_its_token,
            any_text_has_a_hash,
        }
    };
}
