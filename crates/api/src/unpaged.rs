//! Lists without pages, sent a page at a time while they are read: a long one takes no more memory than a short one.

use actix_web::HttpResponse;
use actix_web::http::header::{ContentType, HeaderName};
use actix_web::web::Bytes;
use domain::TextGeneration;
use futures_util::{Stream, StreamExt as _, TryStreamExt as _, stream};
use serde::Serialize;
use services::{AllTexts, ServiceError};

use crate::ApiError;
use crate::middleware::log_error;

/// Says that the list is cut: there are more records than `MAX_UNPAGED_RECORDS`. Absent where it is whole.
pub(crate) const TRUNCATED: HeaderName = HeaderName::from_static("x-truncated");

/// The JSON around a list's items.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame {
    /// Up to the bracket that opens the list.
    pub(crate) before: &'static str,
    /// From the bracket that closes it.
    pub(crate) after: &'static str,
}

/// The response that lists these texts, each in this shape. What fails midway breaks the body off, so that nobody takes a part for the whole.
pub(crate) fn respond<T: Serialize>(all: AllTexts, frame: Frame, shape: impl Fn(TextGeneration) -> T + 'static) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    response.insert_header(ContentType::json());
    if all.is_cut {
        response.insert_header((TRUNCATED, "true"));
    }
    response.streaming(body(all.pages, frame, shape).map_err(actix_web::Error::from))
}

fn body<T: Serialize>(
    pages: impl Stream<Item = Result<Vec<TextGeneration>, ServiceError>> + 'static,
    frame: Frame,
    shape: impl Fn(TextGeneration) -> T + 'static,
) -> impl Stream<Item = Result<Bytes, ApiError>> + 'static {
    let mut is_first = true;
    let items = pages.map(move |page| {
        let page = page.map_err(ApiError::from).inspect_err(log_error)?;
        let mut bytes = Vec::new();
        for text in page {
            if !std::mem::replace(&mut is_first, false) {
                bytes.push(b',');
            }
            serde_json::to_writer(&mut bytes, &shape(text)).map_err(ApiError::internal)?;
        }
        Ok(Bytes::from(bytes))
    });
    let edge = |text: &'static str| stream::iter([Ok(Bytes::from_static(text.as_bytes()))]);
    // An empty piece would be read as the end.
    edge(frame.before)
        .chain(items.filter(|piece| std::future::ready(!matches!(piece, Ok(bytes) if bytes.is_empty()))))
        .chain(edge(frame.after))
}

#[cfg(test)]
mod tests {
    use ports::StoreError;
    use test_support::builders::{a_text_generation, a_user_id};

    use super::*;

    const FRAME: Frame = Frame { before: "{\"all\":[", after: "]}" };

    async fn sent(pages: Vec<Result<usize, ServiceError>>) -> Vec<Result<Bytes, ApiError>> {
        let page = |size| (0..size).map(|_| a_text_generation(a_user_id())).collect();
        let pages = stream::iter(pages.into_iter().map(move |size| size.map(page)));
        body(pages, FRAME, |text| text.prompt.len()).collect().await
    }

    #[actix_web::test]
    async fn pages_make_one_list_whatever_their_sizes() {
        for (pages, items) in [(vec![], 0), (vec![Ok(0)], 0), (vec![Ok(2), Ok(1)], 3), (vec![Ok(0), Ok(1), Ok(0), Ok(1)], 2)] {
            let pieces: Vec<Bytes> = sent(pages).await.into_iter().map(Result::unwrap).collect();
            assert!(pieces.iter().all(|piece| !piece.is_empty()));
            let list: serde_json::Value = serde_json::from_slice(&pieces.concat()).unwrap();
            assert_eq!(list["all"].as_array().unwrap().len(), items);
        }
    }

    #[actix_web::test]
    async fn a_store_that_fails_midway_leaves_no_whole_list() {
        let pieces = sent(vec![Ok(1), Err(ServiceError::Store(StoreError::Unavailable("gone".into())))]).await;
        assert!(pieces[..2].iter().all(Result::is_ok) && pieces[2].is_err());
    }
}
