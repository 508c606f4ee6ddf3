use std::collections::BTreeSet;
use std::path::Path;

use rstest::rstest;

use super::*;

fn read(pairs: &[(&str, &str)]) -> Result<Config, ConfigError> {
    Config::read(&Source::of(pairs))
}

fn template() -> Source {
    Source::from_env_file(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.env.template")).unwrap()
}

/// Every name the parser asks for.
fn known() -> BTreeSet<&'static str> {
    let source = Source::default();
    let mut reader = Reader::new(&source);
    Config::read_by(&mut reader).unwrap();
    reader.into_known()
}

#[test]
fn the_template_documents_every_setting_and_no_other() {
    assert_eq!(template().names(), known());
}

#[test]
fn the_values_in_the_template_are_the_defaults() {
    let (template, defaults) = (Config::read(&template()).unwrap(), read(&[]).unwrap());
    assert_eq!(format!("{template:#?}"), format!("{defaults:#?}"));
    assert!(template.unknown_names.is_empty());
}

#[rstest]
#[case("PORT", "eight", "a whole number between 0 and 65535")]
#[case("PORT", "65536", "a whole number between 0 and 65535")]
#[case("PORT", "-1", "a whole number between 0 and 65535")]
#[case("DB_NAME", "../elsewhere", "letters, digits")]
#[case("DATABASE_URL", "mysql://h/d", "must begin with sqlite://, postgres:// or postgresql://")]
#[case("MODEL_NAME", "a model", "1 to 128 letters")]
#[case("LLM_ID", "ftp:model", "must begin with bundled:")]
#[case("HF_ENDPOINT", "ftp://hub", "http:// or https://")]
#[case("HF_MAX_MODEL_BYTES", "1GB", "a whole number")]
#[case("LLM_PRECISION", "fp64", "auto, fp32, int8, int4")]
#[case("SECRET_KEY", "too-short", "at least 32")]
#[case("ALGORITHM", "none", "HS256, HS384, HS512")]
#[case("ACCESS_TOKEN_EXPIRE_MINUTES", "0", "between 1 and 525600")]
#[case("BCRYPT_COST", "3", "between 4 and 31")]
#[case("CORS_ORIGINS", "https://a.org, *", "'*' is not an origin such as https://app.example.org")]
#[case("TRUSTED_PROXIES", "10.0.0.1, proxy", "'proxy' is neither an address nor a network")]
#[case("METRICS_TOKEN", "short", "at least 16")]
#[case("REGISTRATION", "maybe", "open, invite, closed")]
#[case("REQUESTS_PER_MINUTE", "0", "between 1 and 1000000")]
#[case("TOKENS_PER_DAY", "-1", "a whole number")]
#[case("OPENAI_TEXT_API", "text", "auto, completions, chat")]
#[case("OLLAMA_KEEP_ALIVE", "soon", "a duration such as 5m")]
#[case("PROVIDER_TIMEOUT_SECONDS", "0", "between 1 and 3600")]
#[case("LOG_LEVEL", "a=b=c", "must be trace, debug, info, warn, error or off")]
#[case("LOG_FORMAT", "xml", "text, json")]
#[case("DISABLE_LOGGERS", "maybe", "true")]
#[case("MAX_BODY_BYTES", "1e6", "whole number")]
fn a_bad_value_is_refused_by_name_with_what_is_allowed(#[case] name: &str, #[case] value: &str, #[case] allowed: &str) {
    let error = read(&[(name, value)]).unwrap_err().to_string();
    assert!(error.starts_with(&format!("{name}: ")), "{error}");
    assert!(error.contains(allowed), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
}

#[test]
fn a_secret_shows_neither_in_an_error_nor_in_the_settings() {
    let error = read(&[("METRICS_TOKEN", "hunter22")]).unwrap_err().to_string();
    let settings = format!("{:?}", read(&[("METRICS_TOKEN", "hunter22-hunter22")]).unwrap());
    assert!(!error.contains("hunter22") && !settings.contains("hunter22"), "{error}\n{settings}");
    let error = read(&[("SECRET_KEY", "hunter22")]).unwrap_err().to_string();
    let settings = format!(
        "{:?}",
        read(&[
            ("SECRET_KEY", "hunter22-hunter22-hunter22-hunter22"),
            ("DATABASE_URL", "postgres://u:hunter22@h/d"),
            ("REDIS_URL", "redis://:hunter22@h")
        ])
        .unwrap()
    );
    assert!(!error.contains("hunter22") && !settings.contains("hunter22"), "{error}\n{settings}");
}

#[test]
fn the_database_lies_in_the_data_folder_under_its_name() {
    let config = read(&[("DATA_DIR", "/srv/tertulia"), ("DB_NAME", "texts")]).unwrap();
    assert!(matches!(config.database.url, DatabaseUrl::Sqlite(path) if path == Path::new("/srv/tertulia/texts.db")));
}

#[test]
fn several_secret_keys_are_separated_by_commas() {
    let (new, old) = ("n".repeat(32), "o".repeat(40));
    assert_eq!(read(&[("SECRET_KEY", &format!("{new}, {old}"))]).unwrap().accounts.secret_keys.len(), 2);
}

#[test]
fn a_certificate_without_its_key_is_refused_by_what_is_missing() {
    let error = |name| read(&[(name, "/etc/tls/file.pem")]).unwrap_err().to_string();
    assert!(error("TLS_CERT_FILE").starts_with("TLS_KEY_FILE: "), "{}", error("TLS_CERT_FILE"));
    assert!(error("TLS_KEY_FILE").starts_with("TLS_CERT_FILE: "), "{}", error("TLS_KEY_FILE"));
}
