//! The stories of [`ports::Randomness`].

use std::collections::HashSet;
use std::sync::Arc;

use ports::Randomness;

/// The source under test.
pub type Subject = Arc<dyn Randomness>;

/// However fast they are drawn.
pub async fn identifiers_are_of_version_7_and_each_is_greater_than_the_one_before(randomness: &Subject) {
    let mut last = uuid::Uuid::nil();
    for _ in 0..10_000 {
        let drawn = randomness.uuid_v7();
        assert_eq!(drawn.get_version_num(), 7);
        assert!(drawn > last, "{drawn} follows {last}");
        last = drawn;
    }
}

/// Also when several threads draw.
pub async fn no_identifier_is_drawn_twice(randomness: &Subject) {
    let drawing: Vec<_> = (0..8)
        .map(|_| {
            let randomness = Arc::clone(randomness);
            tokio::task::spawn_blocking(move || (0..1000).map(|_| randomness.uuid_v7()).collect::<Vec<_>>())
        })
        .collect();
    let mut all = HashSet::new();
    for drawn in drawing {
        all.extend(drawn.await.unwrap());
    }
    assert_eq!(all.len(), 8000);
}

/// Seeds are made of them.
pub async fn bits_differ_from_draw_to_draw(randomness: &Subject) {
    let drawn: HashSet<_> = (0..1000).map(|_| domain::Seed::from_random_bits(randomness.bits())).collect();
    assert_eq!(drawn.len(), 1000);
}

/// Makes a test of every story, of what `$make` gives.
#[macro_export]
macro_rules! randomness_contract {
    ($make:path) => {
        $crate::stories! {
            $make, randomness,
            identifiers_are_of_version_7_and_each_is_greater_than_the_one_before,
            no_identifier_is_drawn_twice,
            bits_differ_from_draw_to_draw,
        }
    };
}
