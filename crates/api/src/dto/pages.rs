//! Lists, a page at a time.

use domain::{Cursor, Page, PageLimit, PageRequest};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{ImageResponse, InvitationResponse, SessionResponse, SpeechResponse, TextGenerationResponse, UserResponse};
use crate::{ApiError, cursor};

/// Which page of a list.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageQuery {
    /// How many records at most.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<i64>,
    /// The `next_cursor` of the page before; absent for the newest records.
    cursor: Option<String>,
}

/// The query of a list that has one page: none, and what it would not heed is refused.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NoQuery {}

impl TryFrom<PageQuery> for PageRequest {
    type Error = ApiError;

    fn try_from(query: PageQuery) -> Result<Self, ApiError> {
        let limit = query.limit.map(PageLimit::new).transpose()?.unwrap_or_default();
        let after = query.cursor.as_deref().map(cursor::decode).transpose()?;
        Ok(Self { after, limit })
    }
}

/// A shape for each list: a generic one would repeat its items' shape inside it, where the document should refer to it.
macro_rules! page {
    ($(#[$doc:meta])* $name:ident of $item:ty) => {
        $(#[$doc])*
        #[derive(Serialize, ToSchema)]
        pub(crate) struct $name {
            /// The records.
            items: Vec<$item>,
            /// Where the next page begins; `null` on the last one.
            #[schema(required)]
            next_cursor: Option<String>,
        }

        impl $name {
            /// A page of these records, and where the next one begins.
            pub(crate) fn of(next: Option<Cursor>, items: Vec<$item>) -> Self {
                Self { items, next_cursor: next.as_ref().map(cursor::encode) }
            }
        }

        impl<T: Into<$item>> From<Page<T>> for $name {
            fn from(page: Page<T>) -> Self {
                Self::of(page.next, page.items.into_iter().map(Into::into).collect())
            }
        }
    };
}

page! {
    /// A page of accounts, newest first.
    UserPage of UserResponse
}
page! {
    /// A page of places where the caller is signed in, the last used first.
    SessionPage of SessionResponse
}
page! {
    /// A page of invitations that nobody has used yet, newest first.
    InvitationPage of InvitationResponse
}
page! {
    /// A page of texts, newest first.
    TextGenerationPage of TextGenerationResponse
}

page! {
    /// A page of pictures, newest first.
    ImagePage of ImageResponse
}
page! {
    /// A page of recordings, newest first.
    SpeechPage of SpeechResponse
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(limit: Option<i64>, cursor: Option<&str>) -> Result<PageRequest, ApiError> {
        PageRequest::try_from(PageQuery { limit, cursor: cursor.map(str::to_owned) })
    }

    #[test]
    fn a_limit_out_of_range_is_a_refused_value_and_a_foreign_cursor_a_malformed_one() {
        assert_eq!(page(None, None).unwrap(), PageRequest::default());
        assert!(page(Some(201), None).unwrap_err().detail().starts_with("[E012] limit"));
        assert!(page(None, Some("next")).unwrap_err().detail().starts_with("[E013] cursor"));
    }
}
