//! Locations and what opening them needs; nothing here talks to a network.

use std::collections::HashMap;

use super::*;

fn nothing(_: &str) -> Option<String> {
    None
}

fn environment(pairs: &[(&str, &str)]) -> impl Fn(&str) -> Option<String> + use<> {
    let pairs: HashMap<String, String> =
        pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    move |name| pairs.get(name).cloned()
}

#[test]
fn locations_are_read() {
    let s3 = |bucket: &str, prefix: &str| Location::S3 { bucket: bucket.to_owned(), prefix: prefix.to_owned() };
    for (text, location) in [
        ("s3://bucket", s3("bucket", "")),
        ("s3://bucket/", s3("bucket", "")),
        ("s3://bucket/a/b", s3("bucket", "a/b")),
        ("s3://my.bucket-1/a/b/", s3("my.bucket-1", "a/b")),
        ("gs://b/p", Location::Gcs { bucket: "b".to_owned(), prefix: "p".to_owned() }),
        ("az://c/p", Location::Azure { container: "c".to_owned(), prefix: "p".to_owned() }),
        ("file:///srv/my%20backup", Location::Directory("/srv/my backup".into())),
        ("file:/srv", Location::Directory("/srv".into())),
        ("/srv/b#ck?up", Location::Directory("/srv/b#ck?up".into())),
        ("here", Location::Directory(std::env::current_dir().unwrap().join("here"))),
        ("memory:", Location::Memory),
    ] {
        assert_eq!(text.parse::<Location>().unwrap(), location, "{text}");
    }
}

#[test]
fn a_location_prints_as_it_is_read() {
    for text in ["s3://bucket", "s3://bucket/a/b", "gs://b/p", "az://c", "/srv/backup", "memory:"] {
        assert_eq!(text.parse::<Location>().unwrap().to_string(), text);
    }
}

#[test]
fn what_is_no_location_is_refused() {
    for text in [
        "",
        "s3://",
        "s3:///prefix",
        "s3://buck et/x",
        "s3://bucket//x",
        "s3://bucket/a//b",
        "s3://bucket/a/../b",
        "s3://bucket/x?region=y",
        "ftp://host/x",
        "http://host/bucket",
        "file://host/x",
        "file:///x?y",
        "S3://bucket",
    ] {
        let error = text.parse::<Location>().expect_err(text);
        assert_eq!(error.class(), ErrorClass::Invalid, "{text}");
    }
}

#[test]
fn credentials_in_a_url_are_refused_and_not_repeated() {
    for text in ["s3://AKIAKEY:hush@bucket/x", "s3://hush@bucket", "gs://bucket/x?token=hush", "what://hush@x"] {
        let message = text.parse::<Location>().expect_err(text).to_string();
        assert!(!message.contains("hush"), "{message}");
    }
}

#[test]
fn a_directory_is_created_only_when_asked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/b");
    let text = path.to_str().unwrap();
    let error = open(text, &nothing, OpenMode::Existing).expect_err("it does not exist");
    assert_eq!(error.class(), ErrorClass::Missing);
    assert!(error.to_string().contains(text), "{error}");
    open(text, &nothing, OpenMode::Create).unwrap();
    assert!(path.is_dir());
    open(text, &nothing, OpenMode::Existing).unwrap();
}

#[test]
fn a_file_is_no_repository() {
    let file = tempfile::NamedTempFile::new().unwrap();
    for mode in [OpenMode::Existing, OpenMode::Create] {
        let error = open(file.path().to_str().unwrap(), &nothing, mode).expect_err("it is a file");
        assert_eq!(error.class(), ErrorClass::Invalid, "{error}");
    }
}

#[test]
fn s3_is_addressed_as_the_environment_says() {
    let keys = [("AWS_ACCESS_KEY_ID", "key"), ("AWS_SECRET_ACCESS_KEY", "secret")];
    let opened = |more: &[(&str, &str)]| {
        let environment = environment(&[&keys[..], more].concat());
        format!("{:?}", s3::open("bucket", &environment).unwrap())
    };
    let endpoint =
        |debug: String| debug.split("bucket_endpoint: \"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    assert_eq!(endpoint(opened(&[])), "https://bucket.s3.us-east-1.amazonaws.com");
    assert_eq!(endpoint(opened(&[("AWS_DEFAULT_REGION", "eu-x-1")])), "https://bucket.s3.eu-x-1.amazonaws.com");
    assert_eq!(endpoint(opened(&[("AWS_S3_FORCE_PATH_STYLE", "true")])), "https://s3.us-east-1.amazonaws.com/bucket");
    let own = ("AWS_ENDPOINT_URL", "http://127.0.0.1:9000");
    assert_eq!(endpoint(opened(&[own])), "http://127.0.0.1:9000/bucket");
    assert_eq!(
        endpoint(opened(&[own, ("AWS_ENDPOINT_URL_S3", "https://s3.example:1/")])),
        "https://s3.example:1/bucket"
    );
    let hosted = [("AWS_ENDPOINT_URL", "https://s3.example"), ("AWS_S3_FORCE_PATH_STYLE", "false")];
    assert_eq!(endpoint(opened(&hosted)), "https://bucket.s3.example");
}

#[test]
fn half_a_pair_of_keys_is_an_error_that_says_so() {
    let error = s3::open("bucket", &environment(&[("AWS_ACCESS_KEY_ID", "key")])).expect_err("half");
    assert_eq!(error.class(), ErrorClass::Denied);
    assert!(error.to_string().contains("AWS_SECRET_ACCESS_KEY is not"), "{error}");
}

#[test]
fn a_profile_without_keys_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().to_str().unwrap();
    let error =
        s3::open("bucket", &environment(&[("AWS_PROFILE", "nobody"), ("HOME", home)])).expect_err("no such profile");
    assert!(error.to_string().contains("profile nobody"), "{error}");
}

#[test]
fn no_credentials_at_all_show_at_once_where_the_machine_has_none() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().to_str().unwrap();
    let error =
        s3::open("bucket", &environment(&[("AWS_EC2_METADATA_DISABLED", "true"), ("HOME", home)])).expect_err("none");
    assert_eq!(error.class(), ErrorClass::Denied);
}

#[test]
fn settings_that_make_no_sense_are_named() {
    let keys = [("AWS_ACCESS_KEY_ID", "key"), ("AWS_SECRET_ACCESS_KEY", "hush")];
    for (name, value) in [
        ("AWS_ENDPOINT_URL", "127.0.0.1:9000"),
        ("AWS_ENDPOINT_URL", "ftp://host"),
        ("AWS_ENDPOINT_URL", "https://user:hush@host"),
        ("AWS_CA_BUNDLE", "/nonexistent/ca.pem"),
        ("AWS_REQUEST_PAYER", "perhaps"),
    ] {
        let error = s3::open("bucket", &environment(&[&keys[..], &[(name, value)]].concat())).expect_err(value);
        assert_eq!(error.class(), ErrorClass::Invalid, "{error}");
        assert!(!error.to_string().contains("hush"), "{error}");
    }
}

#[test]
fn clouds_open_with_their_variables() {
    let azure = [("AZURE_STORAGE_ACCOUNT", "account"), ("AZURE_STORAGE_ACCOUNT_KEY", "a2V5")];
    clouds::open_azure("container", &environment(&azure)).unwrap();
    clouds::open_gcs("bucket", &environment(&[("GOOGLE_SKIP_SIGNATURE", "true")])).unwrap();
    assert_eq!(clouds::open_azure("container", &nothing).expect_err("no account").class(), ErrorClass::Invalid);
}

#[test]
fn every_variable_that_is_passed_on_is_known() {
    let lower = |name: &&str| name.to_ascii_lowercase();
    assert!(s3::PASSED_ON.iter().all(|name| lower(name).parse::<object_store::aws::AmazonS3ConfigKey>().is_ok()));
    assert!(clouds::GOOGLE.iter().all(|name| lower(name).parse::<object_store::gcp::GoogleConfigKey>().is_ok()));
    assert!(clouds::AZURE.iter().all(|name| lower(name).parse::<object_store::azure::AzureConfigKey>().is_ok()));
}

#[test]
fn a_broken_secret_is_not_repeated() {
    let azure = [("AZURE_STORAGE_ACCOUNT", "account"), ("AZURE_STORAGE_ACCOUNT_KEY", "hush!")];
    let google = [("GOOGLE_SERVICE_ACCOUNT_KEY", "{\"private_key\": \"hush\"}")];
    for error in [
        clouds::open_azure("container", &environment(&azure)).err(),
        clouds::open_gcs("bucket", &environment(&google)).err(),
    ] {
        let error = error.expect("no usable key");
        assert!(!format!("{error} {error:?}").contains("hush"), "{error:?}");
    }
}

proptest::proptest! {
    #[test]
    fn any_text_is_read_or_refused_and_what_is_read_prints_as_itself(text in "\\PC{0,40}|[a-z0-9]{0,5}://[a-z@?#./%]{0,30}") {
        if let Ok(location) = text.parse::<Location>() {
            let printed = location.to_string();
            proptest::prop_assert_eq!(printed.parse::<Location>().unwrap(), location);
        }
    }
}
