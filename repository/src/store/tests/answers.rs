//! What a server says, and what the engine makes of it: an S3 client against a server that gives one prepared answer to everything.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;

/// Answers every request with the same bytes and closes the connection; ends with the test process.
struct Server {
    url: String,
    asked: Arc<AtomicU64>,
}

fn server(answer: &str) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(AtomicU64::new(0));
    let (answer, count) = (answer.to_owned(), asked.clone());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            count.fetch_add(1, Ordering::SeqCst);
            answer_one(stream, &answer);
        }
    });
    Server { url, asked }
}

/// Reads the head and the announced body, then answers: a client whose body is not read sees a reset instead of the answer.
fn answer_one(mut stream: TcpStream, answer: &str) {
    let mut read = Vec::new();
    let mut chunk = [0; 4_096];
    loop {
        let text = String::from_utf8_lossy(&read).to_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next()?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                break;
            }
        }
        match stream.read(&mut chunk) {
            Ok(0) | Err(_) => return,
            Ok(count) => read.extend_from_slice(&chunk[..count]),
        }
    }
    // A client that has gone away is the test's business, not the server's.
    drop(stream.write_all(answer.as_bytes()));
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

fn client(runtime: &tokio::runtime::Runtime, endpoint: &str) -> Store {
    let endpoint = endpoint.to_owned();
    let environment = move |name: &str| match name {
        "AWS_ENDPOINT_URL" => Some(endpoint.clone()),
        "AWS_ACCESS_KEY_ID" => Some("AKIDTEST".to_owned()),
        "AWS_SECRET_ACCESS_KEY" => Some("hush".to_owned()),
        _ => None,
    };
    let base = open("s3://bucket/repository", &environment, OpenMode::Existing).unwrap();
    Store::new(base, runtime.handle().clone()).with_retry(RetryPolicy::never())
}

fn xml(code: &str, message: &str) -> String {
    format!(
        "<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>{message}</Message><AWSAccessKeyId>AKIDTEST</AWSAccessKeyId></Error>"
    )
}

#[test]
fn each_refusal_tells_the_next_move() {
    let runtime = runtime();
    let cases = [
        ("403 Forbidden", "AccessDenied", ErrorClass::Denied),
        ("403 Forbidden", "SignatureDoesNotMatch", ErrorClass::Denied),
        ("401 Unauthorized", "", ErrorClass::Denied),
        ("400 Bad Request", "ExpiredToken", ErrorClass::Denied),
        ("400 Bad Request", "AuthorizationHeaderMalformed", ErrorClass::Invalid),
        ("400 Bad Request", "RequestTimeout", ErrorClass::Retry),
        ("400 Bad Request", "BadDigest", ErrorClass::Retry),
        ("409 Conflict", "OperationAborted", ErrorClass::Retry),
        ("429 Too Many Requests", "", ErrorClass::Retry),
        ("500 Internal Server Error", "InternalError", ErrorClass::Retry),
        ("503 Service Unavailable", "SlowDown", ErrorClass::Retry),
        ("501 Not Implemented", "NotImplemented", ErrorClass::Invalid),
        ("507 Insufficient Storage", "XMinioStorageFull", ErrorClass::Invalid),
        ("400 Bad Request", "XMinioAdminBucketQuotaExceeded", ErrorClass::Invalid),
        ("404 Not Found", "NoSuchBucket", ErrorClass::Missing),
        ("301 Moved Permanently", "PermanentRedirect", ErrorClass::Invalid),
    ];
    for (status, code, class) in cases {
        let server = server(&answer(status, "", &xml(code, "as prepared")));
        let store = client(&runtime, &server.url);
        let error = store.put("packs/1", Bytes::from_static(b"bytes")).expect_err(status);
        assert_eq!(error.class(), class, "{status} {code}: {error}");
        let message = error.to_string();
        assert!(message.contains(code) && message.contains(&status[..3]), "{message}");
        assert!(!message.contains("AKIDTEST") && !message.contains("hush"), "{message}");
        assert_eq!(server.asked.load(Ordering::SeqCst), 1, "{status} {code}: sent once");
    }
}

#[test]
fn an_absent_object_is_not_an_absent_bucket() {
    let runtime = runtime();
    let absent = server(&answer("404 Not Found", "", &xml("NoSuchKey", "The specified key does not exist.")));
    let error = client(&runtime, &absent.url).get("a").expect_err("absent");
    assert!(error.is_not_found(), "{error}");
    assert!(client(&runtime, &absent.url).delete("a").is_ok());
    let bucket = server(&answer("404 Not Found", "", &xml("NoSuchBucket", "The specified bucket does not exist")));
    for error in [client(&runtime, &bucket.url).get("a").err(), client(&runtime, &bucket.url).list("").err()] {
        let error = error.expect("no bucket");
        assert!(matches!(error, StoreError::NoBucket { .. }), "{error}");
    }
}

#[test]
fn a_page_that_says_404_is_not_an_absent_object() {
    let runtime = runtime();
    let store =
        client(&runtime, &server(&answer("404 Not Found", "Content-Type: text/html\r\n", "<html>nginx</html>")).url);
    let error = store.get("d/x/marks/1").expect_err("a proxy knows nothing of marks");
    assert!(matches!(error, StoreError::Unexpected { .. }), "{error}");
}

#[test]
fn a_connection_that_closes_without_an_answer_is_not_tried_again_behind_our_back() {
    let runtime = runtime();
    let server = server("");
    let error = client(&runtime, &server.url).put_once("d/x/sessions/1.open", Bytes::new()).expect_err("no answer");
    assert_eq!(error.class(), ErrorClass::Retry, "{error}");
    assert_eq!(server.asked.load(Ordering::SeqCst), 1);
}

#[test]
fn a_store_that_asks_to_wait_is_given_the_time() {
    let runtime = runtime();
    let server = server(&answer("503 Slow Down", "Retry-After: 7\r\n", &xml("SlowDown", "Reduce your rate")));
    match client(&runtime, &server.url).put("a", Bytes::new()).expect_err("slow down") {
        StoreError::Throttled { retry_after, .. } => assert_eq!(retry_after, Some(Duration::from_secs(7))),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_huge_error_page_does_not_fill_memory() {
    let runtime = runtime();
    let page = format!("<Code>AccessDenied</Code><Message>{}</Message>", "x".repeat(8 << 20));
    let server = server(&answer("403 Forbidden", "", &page));
    let error = client(&runtime, &server.url).get("a").expect_err("refused");
    assert_eq!(error.class(), ErrorClass::Denied);
    assert!(error.to_string().len() < 1_000);
}

#[test]
fn a_body_shorter_than_announced_is_a_broken_transfer() {
    let runtime = runtime();
    let cut = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\nConnection: close\r\n\r\nonly this";
    let error = client(&runtime, &server(cut).url).get("a").expect_err("cut");
    assert_eq!(error.class(), ErrorClass::Retry, "{error}");
}

#[test]
fn an_announced_size_beyond_the_maximum_is_refused_unread() {
    let runtime = runtime();
    let huge = "HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\nConnection: close\r\n\r\nstart";
    let error = client(&runtime, &server(huge).url).get("a").expect_err("huge");
    assert!(matches!(error, StoreError::TooLarge { .. }), "{error}");
}

#[test]
fn a_web_page_is_not_taken_for_a_store() {
    let runtime = runtime();
    let page = answer("200 OK", "Content-Type: text/html\r\n", "<html><body>Welcome</body></html>");
    let store = client(&runtime, &server(&page).url);
    assert_eq!(store.list("").expect_err("an empty list would be believed").class(), ErrorClass::Invalid);
    assert_eq!(store.get_range("a", 0..10).expect_err("no range").class(), ErrorClass::Invalid);
}

#[test]
fn a_list_that_does_not_say_where_it_goes_on_is_not_taken_for_complete() {
    let runtime = runtime();
    let entry = "<Contents><Key>repository/a</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>x</ETag><Size>1</Size></Contents>";
    let list =
        |truncated: bool| format!("<ListBucketResult><IsTruncated>{truncated}</IsTruncated>{entry}</ListBucketResult>");
    let complete = client(&runtime, &server(&answer("200 OK", "", &list(false))).url);
    assert_eq!(complete.list("").unwrap(), [Listed { name: "a".to_owned(), size: 1, modified_ms: 1_767_225_600_000 }]);
    let cut = client(&runtime, &server(&answer("200 OK", "", &list(true))).url);
    assert_eq!(cut.list("").expect_err("half a list").class(), ErrorClass::Invalid);
}

#[test]
fn a_name_that_holdfast_would_not_give_is_reported_as_somebody_elses() {
    let runtime = runtime();
    let entry = "<Contents><Key>repository/a//b</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>x</ETag><Size>1</Size></Contents>";
    let list = format!("<ListBucketResult><IsTruncated>false</IsTruncated>{entry}</ListBucketResult>");
    let error = client(&runtime, &server(&answer("200 OK", "", &list)).url).list("").expect_err("a//b");
    assert_eq!(error.class(), ErrorClass::Invalid, "{error}");
    assert!(error.to_string().contains("a//b") && error.to_string().contains("remove it"), "{error}");
}

#[test]
fn nobody_at_the_address_is_unavailable_and_says_where() {
    let runtime = runtime();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = client(&runtime, &url).list("points").expect_err("nobody listens");
    assert_eq!(error.class(), ErrorClass::Retry, "{error}");
    assert!(error.to_string().contains("refused"), "{error}");
}
