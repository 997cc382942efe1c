//! HTTP below the cloud stores: what was refused, and why, as a value.
//!
//! In: requests of `object_store`'s clients. Out: the answer, or an [`HttpFailure`] with status, error code, message and the wait that the store asks
//! for, of which `object_store` would keep only a text. Never: retries, reads more of an error page than 64 KiB, or keeps a URL: it may be signed.

use std::fmt::{Debug, Display};
use std::time::Duration;

use async_trait::async_trait;
use bytes::BytesMut;
use futures::StreamExt;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody, HttpService,
    ReqwestConnector,
};

use super::error::{Asked, Source, StoreError, plain};

/// An error page is read up to here.
const ERROR_BODY_BYTES_MAX: usize = 64 << 10;

/// A page of a list is read up to here: 5,000 names of 1 KiB, each with what else a store says of an object.
const LIST_BODY_BYTES_MAX: usize = 16 << 20;

/// The longest wait that a store may ask for; longer ones are cut, so that a wrong header cannot stop a backup for a day.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(60);

/// A request that did not succeed.
#[derive(Clone, Debug)]
pub(super) enum HttpFailure {
    /// The server answered, and said no.
    Refused(Refusal),
    /// The service that gives a machine its identity does not answer: there is none.
    NoIdentity { cause: String },
    /// A question for a list was answered with something else.
    NotAList { cause: String },
    /// The server's certificate is not signed by an authority that this machine trusts.
    Untrusted { cause: String },
}

/// An answer outside 2xx.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) code: String,
    pub(super) message: String,
    pub(super) retry_after: Option<Duration>,
    /// Whether it was asked of a service for credentials, not of the store.
    pub(super) identity: bool,
}

impl Display for HttpFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            HttpFailure::Refused(refusal) => write!(f, "{refusal}"),
            HttpFailure::NoIdentity { cause } | HttpFailure::NotAList { cause } | HttpFailure::Untrusted { cause } => {
                f.write_str(cause)
            }
        }
    }
}

impl Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "status {}", self.status)?;
        for part in [&self.code, &self.message] {
            if !part.is_empty() {
                write!(f, ", {part}")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for HttpFailure {}

/// Makes clients that report refusals as [`HttpFailure`].
#[derive(Debug, Default)]
pub(super) struct Connector;

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(Explaining { inner: ReqwestConnector::default().connect(options)? }))
    }
}

#[derive(Debug)]
struct Explaining {
    inner: HttpClient,
}

#[async_trait]
impl HttpService for Explaining {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let service = Service::of(request.uri().host().unwrap_or_default());
        let lists =
            request.uri().query().is_some_and(|query| query.contains("list-type=2") || query.contains("comp=list"));
        let reads = request.method() == "GET";
        let response = self.inner.execute(request).await.map_err(|error| unreachable_because(error, service))?;
        match response.status().as_u16() {
            200..=299 if lists => whole_list(response).await,
            // 304 is an answer that object_store knows what to do with.
            200..=299 | 304 => Ok(response),
            _ => explain(response, service, reads).await,
        }
    }
}

/// Who is asked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Service {
    Store,
    /// Issues credentials over the network.
    Identity,
    /// Issues credentials on the machine itself; where it does not answer there is none.
    MachineIdentity,
}

impl Service {
    fn of(host: &str) -> Service {
        if host.starts_with("169.254.") || host == "metadata.google.internal" {
            Service::MachineIdentity
        } else if host.starts_with("sts.") || host == "oauth2.googleapis.com" || host == "login.microsoftonline.com" {
            Service::Identity
        } else {
            Service::Store
        }
    }
}

/// What a failed connection means.
fn unreachable_because(error: HttpError, service: Service) -> HttpError {
    let cause = innermost(&error);
    if service == Service::MachineIdentity {
        return HttpError::new(error.kind(), HttpFailure::NoIdentity { cause });
    }
    // rustls says this and nothing else about a chain that ends in no known root, a wrong name or a certificate out of date.
    if cause.contains("invalid peer certificate") {
        return HttpError::new(error.kind(), HttpFailure::Untrusted { cause });
    }
    error
}

fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut current = error;
    while let Some(next) = current.source() {
        current = next;
    }
    plain(&current.to_string())
}

/// Makes sure that a list is one. `object_store` takes any XML without entries, the page of a proxy included, for an empty list, and a list that
/// says it goes on, but not where, for a complete one: a collector would believe that what is not named is not there.
async fn whole_list(response: HttpResponse) -> Result<HttpResponse, HttpError> {
    let not_a_list = |cause: &str| {
        let cause = format!("the answer is not a list of objects ({cause}); is this the address of an object store?");
        Err(HttpError::new(HttpErrorKind::Decode, HttpFailure::NotAList { cause }))
    };
    let (parts, body) = response.into_parts();
    let mut chunks = body.bytes_stream();
    let mut read = BytesMut::new();
    while let Some(chunk) = chunks.next().await {
        read.extend_from_slice(&chunk?);
        if read.len() > LIST_BODY_BYTES_MAX {
            return not_a_list("a page of it is larger than 16 MiB");
        }
    }
    let body = read.freeze();
    let text = String::from_utf8_lossy(&body);
    if !text.contains("<ListBucketResult") && !text.contains("<EnumerationResults") {
        return not_a_list("it is some other document");
    }
    if text.contains("<IsTruncated>true</IsTruncated>") && !text.contains("<NextContinuationToken>") {
        return not_a_list("it goes on, but does not say where");
    }
    drop(text);
    Ok(HttpResponse::from_parts(parts, HttpResponseBody::from(body)))
}

/// Turns a refusal into an error; an absent object stays an answer, because `object_store` gives that its meaning. A page that says 404 without the code
/// that every store gives with it comes from something else on the way, and says nothing about the object. (The answer to a HEAD has no page.)
async fn explain(response: HttpResponse, service: Service, reads: bool) -> Result<HttpResponse, HttpError> {
    let (parts, body) = response.into_parts();
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let retry_after = header("retry-after").and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
    let azure_code = header("x-ms-error-code");
    let body = read_at_most(body, ERROR_BODY_BYTES_MAX).await;
    let text = String::from_utf8_lossy(&body);
    let code = azure_code.or_else(|| between(&text, "<Code>", "</Code>")).unwrap_or_default();
    let absent = parts.status.as_u16() == 404 && !is_missing_bucket(&code, &text) && service == Service::Store;
    if absent && !(reads && code.is_empty()) {
        return Ok(HttpResponse::from_parts(parts, HttpResponseBody::from(body.freeze())));
    }
    let message = between(&text, "<Message>", "</Message>").or_else(|| between(&text, "\"message\": \"", "\""));
    let refusal = Refusal {
        status: parts.status.as_u16(),
        code: plain(&code),
        message: plain(&message.unwrap_or_default()),
        retry_after: retry_after.map(|wait| wait.min(RETRY_AFTER_MAX)),
        identity: service != Service::Store,
    };
    Err(HttpError::new(HttpErrorKind::Unknown, HttpFailure::Refused(refusal)))
}

fn is_missing_bucket(code: &str, text: &str) -> bool {
    matches!(code, "NoSuchBucket" | "ContainerNotFound") || text.contains("The specified bucket does not exist")
}

/// The start of a body. An error while reading it only shortens the explanation: the status already says that the request failed.
async fn read_at_most(body: HttpResponseBody, bytes_max: usize) -> BytesMut {
    let mut read = BytesMut::new();
    let mut chunks = body.bytes_stream();
    while let Some(Ok(chunk)) = chunks.next().await {
        let room = bytes_max - read.len();
        read.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if read.len() == bytes_max {
            break;
        }
    }
    read
}

fn between(text: &str, start: &str, end: &str) -> Option<String> {
    let (_, rest) = text.split_once(start)?;
    let (inside, _) = rest.split_once(end)?;
    Some(inside.to_owned())
}

/// What a failure means to the engine.
pub(super) fn judge(asked: Asked<'_>, failure: HttpFailure, source: Source) -> StoreError {
    let cause = failure.to_string();
    match failure {
        HttpFailure::NoIdentity { .. } => StoreError::NoCredentials { cause, source },
        HttpFailure::NotAList { .. } => asked.unexpected(cause, source),
        HttpFailure::Untrusted { .. } => {
            asked.denied(format!("{cause} (a private authority is named by AWS_CA_BUNDLE)"), source)
        }
        HttpFailure::Refused(refusal) => judge_refusal(asked, &refusal, source),
    }
}

fn judge_refusal(asked: Asked<'_>, refusal: &Refusal, source: Source) -> StoreError {
    let cause = refusal.to_string();
    let code = refusal.code.as_str();
    match refusal.status {
        _ if is_missing_bucket(code, &refusal.message) => StoreError::NoBucket { cause, source },
        // A machine without a role answers the question for one with 404.
        404 if refusal.identity => StoreError::NoCredentials { cause, source },
        507 => asked.full(cause, source),
        _ if code.contains("StorageFull") || code.contains("QuotaExceeded") => asked.full(cause, source),
        429 | 503 => asked.throttled(cause, refusal.retry_after, source),
        _ if code == "SlowDown" || code == "ServerBusy" => asked.throttled(cause, refusal.retry_after, source),
        401 | 403 => asked.denied(cause, source),
        _ if code.contains("Immutable") || matches!(code, "ExpiredToken" | "InvalidToken") => {
            asked.denied(cause, source)
        }
        400 if is_broken_transfer(code) => asked.unavailable(cause, source),
        405 | 501 => asked.unsupported(cause, source),
        408 | 409 | 500..=599 => asked.unavailable(cause, source),
        400..=499 if refusal.identity => asked.denied(cause, source),
        300..=399 => asked.unexpected(format!("{cause} (the bucket lives elsewhere: set AWS_REGION)"), source),
        _ => asked.unexpected(cause, source),
    }
}

/// Codes of status 400 that say that the bytes changed or stopped on the way: the same request may succeed.
fn is_broken_transfer(code: &str) -> bool {
    matches!(
        code,
        "RequestTimeout"
            | "BadDigest"
            | "IncompleteBody"
            | "Md5Mismatch"
            | "XAmzContentSHA256Mismatch"
            | "XAmzContentChecksumMismatch"
    )
}

#[cfg(test)]
mod tests {
    use model::ErrorClass;

    use super::super::error::Operation;
    use super::*;

    fn judged(error: HttpError) -> StoreError {
        let error = object_store::Error::Generic { store: "S3", source: Box::new(error) };
        Asked { operation: Operation::Get, name: "a" }.failed(error)
    }

    fn connect_error(text: &str) -> HttpError {
        HttpError::new(HttpErrorKind::Connect, std::io::Error::other(text.to_owned()))
    }

    #[test]
    fn a_machine_without_an_identity_has_no_credentials_and_is_not_asked_again() {
        let error = judged(unreachable_because(connect_error("timed out"), Service::of("169.254.169.254")));
        assert!(matches!(error, StoreError::NoCredentials { .. }), "{error}");
        assert_eq!(error.class(), ErrorClass::Denied);
    }

    #[test]
    fn an_identity_service_that_is_away_may_come_back() {
        let error = judged(unreachable_because(connect_error("timed out"), Service::of("sts.eu-west-1.amazonaws.com")));
        assert_eq!(error.class(), ErrorClass::Retry, "{error}");
    }

    #[test]
    fn a_certificate_that_nobody_vouches_for_is_not_a_matter_of_time() {
        let error = judged(unreachable_because(
            connect_error("invalid peer certificate: UnknownIssuer"),
            Service::of("s3.example"),
        ));
        assert_eq!(error.class(), ErrorClass::Denied, "{error}");
        assert!(error.to_string().contains("AWS_CA_BUNDLE"), "{error}");
    }
}
