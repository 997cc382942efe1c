//! What has to hold of the module above, one claim per test.

use super::*;
use crate::keys::SystemRandom;

pub(in crate::keys) fn passphrase(text: &str) -> SecretString {
    SecretString::from(text.to_owned())
}

fn key() -> RepositoryKey {
    RepositoryKey::generate(&mut SystemRandom).unwrap()
}

const REPOSITORY: RepositoryId = RepositoryId([7; 32]);

fn is_not_for_this(opened: Result<KeyFile, Unopened>) -> bool {
    matches!(opened, Err(Unopened::NotForThis))
}

fn why_unusable(opened: Result<KeyFile, Unopened>) -> String {
    match opened {
        Err(Unopened::Unusable(why)) => why,
        Err(Unopened::NotForThis) => panic!("said to be for somebody else"),
        Ok(_) => panic!("opened"),
    }
}

/// An age file for a passphrase with any plaintext and work factor, as somebody else may have written it.
pub(in crate::keys) fn foreign(plaintext: &[u8], secret: &str, work_factor_log2: u8) -> Vec<u8> {
    let mut recipient = scrypt::Recipient::new(passphrase(secret));
    recipient.set_work_factor(work_factor_log2);
    let mut writer =
        Encryptor::with_recipients(std::iter::once(&recipient as _)).unwrap().wrap_output(Vec::new()).unwrap();
    writer.write_all(plaintext).unwrap();
    writer.finish().unwrap()
}

#[test]
fn a_passphrase_file_opens_with_its_passphrase_alone() {
    let key = key();
    let file = wrap(&key, REPOSITORY, &Recipient::Passphrase(passphrase("swordfish")), "ops").unwrap();
    let opened = open(&file, &Unlock::Passphrase(passphrase("swordfish"))).ok().unwrap();
    assert_eq!(opened.key.secret().bytes(), key.secret().bytes());
    assert_eq!((opened.made_for, opened.label.as_str()), (REPOSITORY, "ops"));
    assert!(is_not_for_this(open(&file, &Unlock::Passphrase(passphrase("Swordfish")))));
    assert!(is_not_for_this(open(&file, &Unlock::Identities(vec![x25519::Identity::generate()]))));
    assert_eq!(kind(&file), Ok(WrapKind::Passphrase { work_factor_log2: WORK_FACTOR_LOG2 }));
}

#[test]
fn an_identity_file_opens_what_was_wrapped_for_its_recipient_alone() {
    let (mine, other) = (x25519::Identity::generate(), x25519::Identity::generate());
    let file = wrap(&key(), REPOSITORY, &mine.to_public().to_string().parse().unwrap(), "").unwrap();
    assert!(is_not_for_this(open(&file, &Unlock::Identities(vec![other.clone()]))));
    assert!(is_not_for_this(open(&file, &Unlock::Passphrase(passphrase("x")))));
    let text =
        format!("# created: today\n\n{}\n{}\n", other.to_string().expose_secret(), mine.to_string().expose_secret());
    assert!(open(&file, &Unlock::from_identity_file(&text).unwrap()).is_ok());
    assert_eq!(kind(&file), Ok(WrapKind::X25519));
}

#[test]
fn no_flipped_bit_and_no_cut_gives_a_key() {
    let identity = x25519::Identity::generate();
    let file = wrap(&key(), REPOSITORY, &Recipient::Age(identity.to_public()), "").unwrap();
    let unlock = Unlock::Identities(vec![identity]);
    for at in 0..file.len() {
        let mut damaged = file.clone();
        damaged[at] ^= 1 << (at % 8);
        assert!(open(&damaged, &unlock).is_err(), "byte {at}");
        assert!(open(&file[..at], &unlock).is_err(), "cut to {at}");
    }
}

#[test]
fn a_work_factor_above_the_maximum_is_refused_before_any_work_is_done() {
    let file = foreign(b"{}", "p", 4);
    let text = String::from_utf8_lossy(&file[..60]).into_owned();
    let at = text.find(" 4\n").unwrap();
    for (factor, opens) in [("21", false), ("63", false), ("4", true)] {
        let planted = [&file[..=at], factor.as_bytes(), &file[at + 2..]].concat();
        let why = why_unusable(open(&planted, &Unlock::Passphrase(passphrase("p"))));
        assert_eq!(why.contains("work factor"), !opens, "{factor}: {why}");
    }
}

#[test]
fn what_is_inside_must_be_a_repository_key() {
    let hex = "00".repeat(32);
    let good = format!(r#"{{"version":1,"repository":"{hex}","key":"{hex}","label":""}}"#);
    let opens = |plaintext: &str| open(&foreign(plaintext.as_bytes(), "p", 2), &Unlock::Passphrase(passphrase("p")));
    assert!(opens(&good).is_ok());
    assert!(why_unusable(opens(&good.replace("\"version\":1", "\"version\":2"))).contains("newer"));
    for bad in ["", "null", &good.replace("\"key\":\"00", "\"key\":\"zz"), &good[..good.len() - 1], &format!("{good}x")]
    {
        why_unusable(opens(bad));
    }
    let long = format!("{good}{}", " ".repeat(KEY_FILE_BYTES_MAX as usize));
    assert!(why_unusable(opens(&long)).contains("longer"));
}

#[test]
fn bytes_that_are_not_an_age_file_are_unusable() {
    for bytes in [&b""[..], b"age-encryption.org/v1\n", b"age-encryption.org/v2\n-> X25519 a\n\n--- x\n", &[0xff; 300]]
    {
        why_unusable(open(bytes, &Unlock::Passphrase(passphrase("p"))));
        assert!(kind(bytes).is_err());
    }
}

#[test]
fn a_passphrase_is_one_line_without_its_line_break() {
    for bytes in [&b"pass word\n"[..], b"pass word", b"pass word\r\n"] {
        let Unlock::Passphrase(read) = Unlock::from_passphrase_file(bytes).ok().unwrap() else {
            panic!("not a passphrase")
        };
        assert_eq!(read.expose_secret(), "pass word");
    }
    assert!(matches!(Unlock::from_passphrase_file(b"\n"), Err(KeyError::EmptyPassphrase)));
    assert!(matches!(Unlock::from_passphrase_file(b"\xff"), Err(KeyError::PassphraseNotText)));
    let unsafe_recipient = Recipient::Passphrase(passphrase(""));
    assert!(matches!(wrap(&key(), REPOSITORY, &unsafe_recipient, ""), Err(KeyError::EmptyPassphrase)));
}

#[test]
fn what_is_no_identity_or_recipient_is_refused_without_repeating_a_secret() {
    for text in ["", "# only a comment", "AGE-SECRET-KEY-1NOT", "age1abc"] {
        assert!(matches!(Unlock::from_identity_file(text), Err(KeyError::NotAnIdentity)), "{text}");
    }
    let secret = x25519::Identity::generate().to_string();
    let error = Recipient::from_str(secret.expose_secret()).err().unwrap().to_string();
    assert!(!error.contains(&secret.expose_secret()[..20]), "{error}");
    assert!(Recipient::from_str("age1nonsense").err().unwrap().to_string().contains("age1nonsense"));
}
