//! Times as both databases keep them: UTC, in microseconds, without a time zone.

use chrono::{DateTime, NaiveDate, NaiveDateTime, SubsecRound, Utc};

/// Digits of a second that are kept.
const MICROSECONDS: u16 = 6;

/// A time as it is kept. Finer than a microsecond is cut, so that SQLite and PostgreSQL (which would round) answer the same.
pub(crate) fn to_kept_time(time: DateTime<Utc>) -> NaiveDateTime {
    time.trunc_subsecs(MICROSECONDS).naive_utc()
}

/// A kept time.
pub(crate) fn from_kept_time(kept: NaiveDateTime) -> DateTime<Utc> {
    kept.and_utc()
}

/// A cursor's time, which comes from outside: moved into the years 1 to 9999, beyond which one database or the other cannot compare.
pub(crate) fn to_kept_cursor_time(time: DateTime<Utc>) -> NaiveDateTime {
    let first = NaiveDate::from_ymd_opt(1, 1, 1).and_then(|day| day.and_hms_opt(0, 0, 0)).unwrap_or(NaiveDateTime::MIN);
    let last = NaiveDate::from_ymd_opt(9999, 12, 31).and_then(|day| day.and_hms_opt(23, 59, 59)).unwrap_or(NaiveDateTime::MAX);
    to_kept_time(time).clamp(first, last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_finer_than_a_microsecond_is_cut_not_rounded() {
        let time = DateTime::from_timestamp(0, 1_999_999).unwrap();
        assert_eq!(from_kept_time(to_kept_time(time)), DateTime::from_timestamp(0, 1_999_000).unwrap());
    }

    #[test]
    fn a_cursor_from_the_end_of_time_is_moved_to_where_databases_can_follow() {
        assert_eq!(to_kept_cursor_time(DateTime::<Utc>::MAX_UTC).and_utc().to_rfc3339(), "9999-12-31T23:59:59+00:00");
        assert_eq!(to_kept_cursor_time(DateTime::<Utc>::MIN_UTC).and_utc().to_rfc3339(), "0001-01-01T00:00:00+00:00");
    }
}
