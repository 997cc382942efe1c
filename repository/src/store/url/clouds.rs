//! Google Cloud Storage and Azure Blob Storage, set up from the usual variables of each.
//!
//! In: a bucket or container and the environment. Out: a client. Never: asks a store for anything.

use object_store::azure::{AzureConfigKey, MicrosoftAzure, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorage, GoogleCloudStorageBuilder, GoogleConfigKey};

use super::super::http::Connector;
use super::{Environment, OpenError, client_options, sent_once};

/// Variables that `object_store` understands as they are. Without any, the default credentials file or the machine's identity is used.
pub(super) const GOOGLE: [&str; 7] = [
    "GOOGLE_SERVICE_ACCOUNT",
    "GOOGLE_SERVICE_ACCOUNT_PATH",
    "GOOGLE_SERVICE_ACCOUNT_KEY",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "GOOGLE_BEARER_TOKEN",
    "GOOGLE_BASE_URL",
    "GOOGLE_SKIP_SIGNATURE",
];

/// The same for Azure; the account name is required.
pub(super) const AZURE: [&str; 21] = [
    "AZURE_STORAGE_ACCOUNT_NAME",
    "AZURE_STORAGE_ACCOUNT_KEY",
    "AZURE_STORAGE_ACCESS_KEY",
    "AZURE_STORAGE_SAS_TOKEN",
    "AZURE_STORAGE_SAS_KEY",
    "AZURE_STORAGE_TOKEN",
    "AZURE_STORAGE_ENDPOINT",
    "AZURE_ENDPOINT",
    "AZURE_STORAGE_USE_EMULATOR",
    "AZURE_CLIENT_ID",
    "AZURE_CLIENT_SECRET",
    "AZURE_TENANT_ID",
    "AZURE_AUTHORITY_HOST",
    "AZURE_FEDERATED_TOKEN_FILE",
    "AZURE_IDENTITY_ENDPOINT",
    "AZURE_MSI_ENDPOINT",
    "AZURE_MSI_RESOURCE_ID",
    "AZURE_OBJECT_ID",
    "AZURE_USE_AZURE_CLI",
    "AZURE_STORAGE_ENCRYPTION_KEY",
    "AZURE_SKIP_SIGNATURE",
];

pub(super) fn open_gcs(bucket: &str, environment: Environment<'_>) -> Result<GoogleCloudStorage, OpenError> {
    let allow_http = environment("GOOGLE_BASE_URL").is_some_and(|url| url.starts_with("http://"));
    let mut builder = GoogleCloudStorageBuilder::new()
        .with_bucket_name(bucket)
        .with_client_options(client_options(environment, allow_http)?)
        .with_http_connector(Connector)
        .with_retry(sent_once());
    for name in GOOGLE {
        if let Some(value) = environment(name) {
            let key: GoogleConfigKey = name.to_ascii_lowercase().parse().map_err(OpenError::setting)?;
            builder = builder.with_config(key, value);
        }
    }
    builder.build().map_err(OpenError::setting)
}

pub(super) fn open_azure(container: &str, environment: Environment<'_>) -> Result<MicrosoftAzure, OpenError> {
    let endpoint = environment("AZURE_STORAGE_ENDPOINT").or_else(|| environment("AZURE_ENDPOINT"));
    let allow_http = endpoint.is_some_and(|url| url.starts_with("http://"));
    let mut builder = MicrosoftAzureBuilder::new()
        .with_container_name(container)
        .with_client_options(client_options(environment, allow_http)?)
        .with_http_connector(Connector)
        .with_retry(sent_once());
    // The tool of Azure itself reads this one.
    if let Some(account) = environment("AZURE_STORAGE_ACCOUNT") {
        builder = builder.with_account(account);
    }
    for name in AZURE {
        if let Some(value) = environment(name) {
            let key: AzureConfigKey = name.to_ascii_lowercase().parse().map_err(OpenError::setting)?;
            builder = builder.with_config(key, value);
        }
    }
    builder.build().map_err(OpenError::setting)
}
