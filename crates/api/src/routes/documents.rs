//! The description of this API, and two pages that show it: Swagger UI to try it, `ReDoc` to read it. Both are embedded in the binary and
//! load nothing from elsewhere.

use std::io::Read;
use std::sync::{Arc, LazyLock};

use actix_web::http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, VARY};
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use utoipa_swagger_ui::Config;

use super::Answer;
use crate::{ApiError, ErrorCode};

/// `ReDoc`'s bundle; see `assets/README.md` for where it is from.
static REDOC_GZIP: &[u8] = include_bytes!("../../assets/redoc.standalone.js.gz");

/// The bundle for the rare client that does not read gzip.
static REDOC: LazyLock<Bytes> = LazyLock::new(|| {
    let mut script = Vec::new();
    // Reading from memory fails only where the embedded bytes are damaged; a test reads them.
    let _ = flate2::read::GzDecoder::new(REDOC_GZIP).read_to_end(&mut script);
    script.into()
});

/// The bundle draws a logo from its maker's host. The policy forbids that; the style hides the hole.
const REDOC_PAGE: &str = r#"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Tertulia API</title>
<link rel="icon" href="/docs/favicon-32x32.png">
<style>body { margin: 0 } img[src^="https://cdn.redoc.ly"] { display: none }</style>
</head>
<body>
<redoc spec-url="/openapi.json"></redoc>
<script src="/redoc/redoc.standalone.js"></script>
</body>
</html>
"#;

const HTML: &str = "text/html; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

/// What the pages show.
#[derive(Clone)]
pub(crate) struct Documents {
    openapi_json: Bytes,
    swagger: Arc<Config<'static>>,
}

impl Documents {
    /// Writes the document once, for every worker.
    pub(crate) fn new(document: &utoipa::openapi::OpenApi) -> Self {
        let openapi_json = document.to_pretty_json().unwrap_or_default().into();
        let swagger = Config::new(["/openapi.json"]).persist_authorization(true).try_it_out_enabled(true);
        Self { openapi_json, swagger: Arc::new(swagger) }
    }
}

/// Registers the pages. They are not in the document: they are about it.
pub(crate) fn configure(config: &mut web::ServiceConfig) {
    config
        .route("/openapi.json", web::get().to(openapi_json))
        .route("/docs", web::get().to(swagger_page))
        .route("/docs/", web::get().to(swagger_index))
        .route("/docs/{file:.*}", web::get().to(swagger_file))
        .route("/redoc", web::get().to(redoc_page))
        .route("/redoc/", web::get().to(redoc_page))
        .route("/redoc/redoc.standalone.js", web::get().to(redoc_script));
}

async fn openapi_json(documents: web::Data<Documents>) -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(documents.openapi_json.clone())
}

/// The page's links are relative to its folder; at `/docs` they must name it.
async fn swagger_page(documents: web::Data<Documents>) -> Answer<HttpResponse> {
    let page = swagger(&documents, "index.html")?;
    let page = String::from_utf8_lossy(&page.bytes).replace("\"./", "\"./docs/").replace("\"index.css\"", "\"./docs/index.css\"");
    Ok(HttpResponse::Ok().content_type(HTML).body(page))
}

/// The same page for who writes the slash: there its links name its folder as they are.
async fn swagger_index(documents: web::Data<Documents>) -> Answer<HttpResponse> {
    let page = swagger(&documents, "index.html")?;
    Ok(HttpResponse::Ok().content_type(HTML).body(page.bytes.into_owned()))
}

async fn swagger_file(documents: web::Data<Documents>, file: web::Path<String>) -> Answer<HttpResponse> {
    let file = swagger(&documents, &file)?;
    Ok(HttpResponse::Ok().content_type(file.content_type).body(file.bytes.into_owned()))
}

fn swagger<'a>(documents: &Documents, path: &str) -> Answer<utoipa_swagger_ui::SwaggerFile<'a>> {
    utoipa_swagger_ui::serve(path, Arc::clone(&documents.swagger))
        .map_err(ApiError::internal)?
        .ok_or_else(|| ApiError::titled(ErrorCode::RouteNotFound))
}

async fn redoc_page() -> HttpResponse {
    HttpResponse::Ok().content_type(HTML).body(REDOC_PAGE)
}

async fn redoc_script(request: HttpRequest) -> HttpResponse {
    let accepted = request.headers().get(ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut response = HttpResponse::Ok();
    response.content_type(JAVASCRIPT).insert_header((VARY, "Accept-Encoding"));
    if accepts_gzip(accepted) {
        response.insert_header((CONTENT_ENCODING, "gzip")).body(REDOC_GZIP)
    } else {
        response.body(REDOC.clone())
    }
}

/// Whether `Accept-Encoding` names gzip, and not to refuse it.
fn accepts_gzip(accepted: &str) -> bool {
    accepted.split(',').any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, "q=1"));
        let refused = weight.trim().strip_prefix("q=").and_then(|q| q.trim().parse::<f32>().ok()).is_some_and(|q| q <= 0.0);
        name.trim().eq_ignore_ascii_case("gzip") && !refused
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_bundle_is_whole() {
        assert!(REDOC.starts_with(b"/*! For license information"));
        assert!(REDOC.len() > 1_000_000);
    }

    #[test]
    fn gzip_is_sent_to_who_reads_it() {
        assert!(accepts_gzip("gzip, deflate, br"));
        assert!(accepts_gzip("br;q=1.0, gzip;q=0.8"));
        assert!(!accepts_gzip("gzip;q=0"));
        assert!(!accepts_gzip(""));
    }
}
