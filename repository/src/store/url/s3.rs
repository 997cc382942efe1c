//! S3 and what speaks its protocol, set up from the usual `AWS_*` variables.
//!
//! In: a bucket and the environment. Out: a client that signs and checksums every upload. Never: asks a store for anything.
//!
//! Credentials, first found: `AWS_ACCESS_KEY_ID` and its secret; the profile that `AWS_PROFILE` names; a web identity token (pods with an IAM
//! role); a container's credentials; the default profile; the instance's identity.

use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey, Checksum};

use super::super::http::Connector;
use super::profile::{Profile, read_profile};
use super::{Environment, OpenError, client_options, sent_once};

/// Variables that `object_store` understands as they are.
pub(super) const PASSED_ON: [&str; 15] = [
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_ENDPOINT_URL_STS",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_METADATA_ENDPOINT",
    "AWS_IMDSV1_FALLBACK",
    "AWS_SERVER_SIDE_ENCRYPTION",
    "AWS_SSE_KMS_KEY_ID",
    "AWS_SSE_BUCKET_KEY_ENABLED",
    "AWS_SSE_CUSTOMER_KEY_BASE64",
    "AWS_REQUEST_PAYER",
    "AWS_SKIP_SIGNATURE",
];

pub(super) fn open(bucket: &str, environment: Environment<'_>) -> Result<AmazonS3, OpenError> {
    let endpoint = environment("AWS_ENDPOINT_URL_S3").or_else(|| environment("AWS_ENDPOINT_URL"));
    let allow_http = endpoint.as_deref().is_some_and(|endpoint| endpoint.starts_with("http://"));
    let credentials = credentials(environment)?;
    let region = environment("AWS_REGION").or_else(|| environment("AWS_DEFAULT_REGION"));
    let region = region.or_else(|| credentials.as_ref().and_then(|profile| profile.region.clone()));

    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(bucket)
        .with_client_options(client_options(environment, allow_http)?)
        .with_http_connector(Connector)
        .with_retry(sent_once())
        .with_checksum_algorithm(Checksum::SHA256)
        // One object at a time, and not every store has the bulk request.
        .with_disable_bulk_delete(true);
    for name in PASSED_ON {
        if let Some(value) = environment(name) {
            let key: AmazonS3ConfigKey = name.to_ascii_lowercase().parse().map_err(OpenError::setting)?;
            builder = builder.with_config(key, value);
        }
    }
    if let Some(region) = region {
        builder = builder.with_region(region);
    }
    if let Some(Profile { key_id: Some(key_id), secret: Some(secret), token, .. }) = credentials {
        builder = builder.with_access_key_id(key_id).with_secret_access_key(secret);
        if let Some(token) = token {
            builder = builder.with_token(token);
        }
    }
    addressed(builder, bucket, endpoint, environment)?.build().map_err(OpenError::setting)
}

/// Where requests go. A store of one's own rarely has a name per bucket; AWS wants one, except where a dot in it would not fit the certificate.
fn addressed(
    builder: AmazonS3Builder,
    bucket: &str,
    endpoint: Option<String>,
    environment: Environment<'_>,
) -> Result<AmazonS3Builder, OpenError> {
    let path_style = environment("AWS_S3_FORCE_PATH_STYLE").map(|value| !matches!(value.as_str(), "false" | "0"));
    match endpoint {
        None => Ok(builder.with_virtual_hosted_style_request(!path_style.unwrap_or(bucket.contains('.')))),
        Some(endpoint) if path_style.unwrap_or(true) => {
            parse_endpoint(&endpoint)?;
            Ok(builder.with_endpoint(endpoint))
        }
        Some(endpoint) => {
            let mut url = parse_endpoint(&endpoint)?;
            let host = format!("{bucket}.{}", url.host_str().unwrap_or_default());
            url.set_host(Some(&host)).map_err(|_| OpenError::Setting {
                cause: format!("{host} is not the name of a host; set AWS_S3_FORCE_PATH_STYLE=true"),
            })?;
            let endpoint = url.as_str().trim_end_matches('/').to_owned();
            Ok(builder.with_endpoint(endpoint).with_virtual_hosted_style_request(true))
        }
    }
}

fn parse_endpoint(endpoint: &str) -> Result<::url::Url, OpenError> {
    let wrong = |cause: &str| OpenError::Setting { cause: format!("the endpoint of S3 (AWS_ENDPOINT_URL) {cause}") };
    let url = ::url::Url::parse(endpoint).map_err(|error| wrong(&format!("is not a URL: {error}")))?;
    match url.scheme() {
        "http" | "https" if url.host_str().is_none() => Err(wrong("names no host")),
        "http" | "https" if !url.username().is_empty() || url.password().is_some() => {
            Err(wrong("must not contain credentials"))
        }
        "http" | "https" => Ok(url),
        _ => Err(wrong("starts neither with https:// nor with http://")),
    }
}

/// The keys to use; None where `object_store` finds the credentials itself.
fn credentials(environment: Environment<'_>) -> Result<Option<Profile>, OpenError> {
    let (key_id, secret) = (environment("AWS_ACCESS_KEY_ID"), environment("AWS_SECRET_ACCESS_KEY"));
    match (key_id, secret) {
        (Some(key_id), Some(secret)) => {
            let token = environment("AWS_SESSION_TOKEN");
            return Ok(Some(Profile { key_id: Some(key_id), secret: Some(secret), token, region: None }));
        }
        (Some(_), None) => return Err(missing("AWS_ACCESS_KEY_ID is set, AWS_SECRET_ACCESS_KEY is not")),
        (None, Some(_)) => return Err(missing("AWS_SECRET_ACCESS_KEY is set, AWS_ACCESS_KEY_ID is not")),
        (None, None) => {}
    }
    if let Some(name) = environment("AWS_PROFILE") {
        let profile = read_profile(&name, environment)?;
        if profile.key_id.is_none() || profile.secret.is_none() {
            return Err(missing(&format!(
                "profile {name} has no aws_access_key_id and aws_secret_access_key (programs and single sign-on named there are not run)"
            )));
        }
        return Ok(Some(profile));
    }
    let both = |one: &str, other: &str| environment(one).is_some() && environment(other).is_some();
    if both("AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN")
        || environment("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI").is_some()
        || both("AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
        || environment("AWS_SKIP_SIGNATURE").is_some()
    {
        return Ok(None);
    }
    let profile = read_profile("default", environment)?;
    let usable = profile.key_id.is_some() && profile.secret.is_some();
    if !usable && environment("AWS_EC2_METADATA_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return Err(missing(
            "neither in the environment nor in a credentials file, and AWS_EC2_METADATA_DISABLED is set",
        ));
    }
    Ok(Some(profile))
}

fn missing(cause: &str) -> OpenError {
    OpenError::Credentials {
        cause: format!("{cause}; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"),
    }
}
