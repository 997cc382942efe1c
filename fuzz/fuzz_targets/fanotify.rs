//! Events of the kernel: read to the end or refused, whatever their lengths say.
#![no_main]

use holdfast_fuzz::within;
use libfuzzer_sys::fuzz_target;
use volume::fanotify::{Entry, Handle, records};

fuzz_target!(|data: &[u8]| {
    // Everything is borrowed: nothing may be allocated, whatever a length says.
    within(0, || {
        let mut count = 0;
        for record in records(data) {
            count += 1;
            let Ok(record) = record else { continue };
            let entries = [record.entry, record.old, record.new].into_iter().flatten();
            let directories = entries.map(|Entry { directory, name }| {
                assert!(!name.contains(&0) && name.len() < data.len(), "a name ends at its NUL");
                directory
            });
            for Handle { kind, bytes } in record.object.into_iter().chain(directories) {
                assert!(bytes.len() < data.len(), "a handle lies inside its event");
                let _ = Handle { kind, bytes }.inode();
            }
        }
        assert!(count <= data.len() / 24 + 1, "every record takes its head, and the first broken one is the last");
    });
});
