//! Lists a page at a time, newest first, by keyset on `(created_at, id)`: a page costs the same however deep it lies, and a record
//! added meanwhile neither repeats nor hides another.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::Refusal;

/// The place after which a page begins: the last record of the page before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// That record's time.
    pub created_at: DateTime<Utc>,
    /// That record's identifier, which orders records of the same instant.
    pub id: Uuid,
}

/// How many records a page holds: 1–200.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageLimit(u32);

impl PageLimit {
    /// The most records a page may hold.
    pub const MAX: u32 = 200;

    /// Checks a limit.
    pub fn new(limit: i64) -> Result<Self, Refusal> {
        u32::try_from(limit)
            .ok()
            .filter(|limit| (1..=Self::MAX).contains(limit))
            .map(Self)
            .ok_or_else(|| Refusal::field("limit", format!("must be between 1 and {}, got {limit}", Self::MAX)))
    }

    /// The number itself.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl Default for PageLimit {
    fn default() -> Self {
        Self(50)
    }
}

/// Which page of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PageRequest {
    /// Where it begins; from the newest record if absent.
    pub after: Option<Cursor>,
    /// How many records at most.
    pub limit: PageLimit,
}

/// A page of a list, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The records.
    pub items: Vec<T>,
    /// Where the next page begins; absent on the last one.
    pub next: Option<Cursor>,
}

impl<T> Page<T> {
    /// Makes a page from up to `limit + 1` records, newest first: the one too many tells that there is a next page.
    pub fn from_overfull(mut items: Vec<T>, limit: PageLimit, cursor_of: impl Fn(&T) -> Cursor) -> Self {
        let limit = limit.get() as usize;
        let next = if items.len() > limit { items.get(limit.saturating_sub(1)).map(cursor_of) } else { None };
        items.truncate(limit);
        Self { items, next }
    }

    /// The same page of something else.
    pub fn map<U>(self, change: impl FnMut(T) -> U) -> Page<U> {
        Page { items: self.items.into_iter().map(change).collect(), next: self.next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_lies_between_1_and_200() {
        assert!(PageLimit::new(0).is_err());
        assert!(PageLimit::new(1).is_ok());
        assert!(PageLimit::new(200).is_ok());
        assert!(PageLimit::new(201).is_err());
        assert!(PageLimit::new(-1).is_err());
        assert!(PageLimit::new(i64::MAX).is_err());
    }

    #[test]
    fn the_record_too_many_tells_that_there_is_more() {
        let cursor = |id: &u8| Cursor { created_at: DateTime::UNIX_EPOCH, id: Uuid::from_u128(u128::from(*id)) };
        let limit = PageLimit::new(2).unwrap();
        let page = Page::from_overfull(vec![9, 8, 7], limit, cursor);
        assert_eq!((page.items, page.next), (vec![9, 8], Some(cursor(&8))));
        let last = Page::from_overfull(vec![9, 8], limit, cursor);
        assert_eq!(last.next, None);
    }
}
