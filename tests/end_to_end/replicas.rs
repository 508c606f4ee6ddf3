//! Two servers over one PostgreSQL and one Redis: what one is told, the other knows.

use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::databases::{PostgresDatabase, RedisServer};
use crate::limits::{assert_told_to_wait, log_in};
use crate::support::{Caller, PASSWORD, Server, eventually};

const SHARED_KEY: &str = "0123456789abcdef0123456789abcdef";

/// Two servers, and what they share.
struct Replicas {
    one: Server,
    other: Server,
    redis: Option<RedisServer>,
    _database: PostgresDatabase,
}

impl Replicas {
    async fn start(settings: &[(&str, &str)]) -> Self {
        let (database, redis) = (PostgresDatabase::create(), RedisServer::start(None).await);
        let redis_url = redis.url();
        let mut all = vec![("DATABASE_URL", database.url.as_str()), ("REDIS_URL", &redis_url), ("SECRET_KEY", SHARED_KEY)];
        all.extend_from_slice(settings);
        // The machine that tests share is slow at times; a Redis that is late is away.
        all.push(("REDIS_TIMEOUT_MS", "5000"));
        let one = Server::start(&all);
        Self { one, other: Server::start(&all), redis: Some(redis), _database: database }
    }

    /// The same person at the other server.
    fn there(&self, caller: &Caller) -> Caller {
        self.other.bearer(caller.token.as_deref().unwrap())
    }
}

#[tokio::test]
async fn a_sign_out_and_a_throttled_account_hold_at_both() {
    let replicas = Replicas::start(&[]).await;
    let (one, other) = (replicas.one.anonymous(), replicas.other.anonymous());
    replicas.one.newcomer("ana").await;
    let signed_in = log_in(&one, "ana", PASSWORD).await.body;
    let ana_there = replicas.other.bearer(signed_in["access_token"].as_str().unwrap());
    assert_eq!(ana_there.get("/users/me").await.body["username"], "ana");
    let log_out = one.post("/auth/logout", &json!({"refresh_token": signed_in["refresh_token"]})).await;
    assert_eq!(log_out.status, StatusCode::NO_CONTENT);
    assert_eq!(ana_there.get("/users/me").await.status, StatusCode::UNAUTHORIZED);

    let mut failures = 0;
    loop {
        let replica = if failures % 2 == 0 { &one } else { &other };
        let answer = log_in(replica, "ana", "a wrong password").await;
        if answer.status != StatusCode::UNAUTHORIZED {
            assert_told_to_wait(&answer, "E040");
            break;
        }
        failures += 1;
        // Each of two that count alone would let ten pass.
        assert!(failures < 20, "failures are not counted together");
    }
}

#[tokio::test]
async fn a_limit_is_one_for_both_and_one_each_while_redis_is_away() {
    let mut replicas = Replicas::start(&[("REQUESTS_PER_MINUTE", "4")]).await;
    let ana = replicas.one.newcomer("ana").await;
    let ana_there = replicas.there(&ana);
    for _ in 0..2 {
        assert_eq!(ana.get("/users/me").await.status, StatusCode::OK);
        assert_eq!(ana_there.get("/users/me").await.status, StatusCode::OK);
    }
    assert_told_to_wait(&ana.get("/users/me").await, "E034");
    assert_told_to_wait(&ana_there.get("/users/me").await, "E034");
    let (one, other) = (replicas.one.anonymous(), replicas.other.anonymous());
    assert_eq!(one.get("/readyz").await.body["checks"]["limits"], "ok");

    let port = replicas.redis.take().unwrap().kill();
    // The limit is each replica's own now, and whole again: those who do not look at a clock see no outage.
    for caller in [&ana, &ana_there] {
        let answer = caller.get("/users/me").await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    }
    for replica in [&one, &other] {
        // An answer is given again for a second.
        let told = async || Some(replica.get("/readyz").await).filter(|ready| ready.body["status"] == "degraded");
        let ready = eventually("the outage is told", told).await;
        assert_eq!(ready.status, StatusCode::OK, "{ready:?}");
        assert_eq!(ready.body["checks"]["limits"], "degraded");
    }
    assert!(replicas.one.log().contains("limits hold per replica"), "{}", replicas.one.log());

    replicas.redis = Some(RedisServer::start(Some(port)).await);
    for replica in [&one, &other] {
        eventually("Redis is back", async || (replica.get("/readyz").await.body["status"] == "ok").then_some(())).await;
    }
    assert!(replicas.one.log().contains("Redis is back"), "{}", replicas.one.log());
}

#[tokio::test]
async fn of_fifty_requests_at_once_a_quota_for_ten_lets_ten_through() {
    let replicas = Replicas::start(&[]).await;
    let ana = replicas.one.newcomer("ana").await;
    let ana_there = replicas.there(&ana);
    let request = json!({"prompt": "Once upon a time", "max_new_tokens": 1, "seed": 1});
    let first = ana.post("/text_generations", &request).await;
    assert_eq!(first.status, StatusCode::CREATED, "{first:?}");
    let cost = first.body["usage"]["total_tokens"].as_u64().unwrap();

    let id = ana.get("/users/me").await.body["id"].as_str().unwrap().to_owned();
    let exception = json!({"tokens_per_day": cost + 10 * cost});
    let set = ana.send(Method::PUT, &format!("/admin/limits/users/{id}"), &exception).await;
    assert!(set.status.is_success(), "{set:?}");
    eventually("the other replica knows the exception", async || {
        (ana_there.get("/users/me/usage").await.body["tokens"]["limit"] == exception["tokens_per_day"]).then_some(())
    })
    .await;

    let answers = join_all((0..50).map(async |number| {
        let caller = if number % 2 == 0 { &ana } else { &ana_there };
        caller.post("/text_generations", &request).await
    }))
    .await;
    let made = answers.iter().filter(|answer| answer.status == StatusCode::CREATED).count();
    let refused = answers.iter().filter(|answer| answer.body["code"] == "E041").count();
    assert_eq!((made, refused), (10, 40), "{:?}", answers.iter().map(|answer| answer.status).collect::<Vec<_>>());
    let tokens = ana.get("/users/me/usage").await.body["tokens"].clone();
    assert_eq!((tokens["used"].as_u64(), tokens["remaining"].as_u64()), (Some(11 * cost), Some(0)), "{tokens}");
}
