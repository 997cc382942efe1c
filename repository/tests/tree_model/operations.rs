//! Operations: what happens to the tree between two backups.
//!
//! In: the oracle and a seeded generator. Out: the oracle, changed as a workload would change a filesystem. Never: thinks of rows.

use rand::Rng;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use repository::tree::{Location, MissedWhat};

use crate::state::{
    BLOCK_PAGES, Directory, FILE_PAGES_MAX, File, INLINE_PAGES_MAX, Node, PAGE, Page, ROOT, State, handle_of,
};

const NAMES: &[&[u8]] = &[b"a", b"aa", b"ab", b"b", b"database", b"database.1", b"\xff\xfe", b"c", b"c.bak", b"log"];

/// Does one random thing; deletes more than it makes when there are more than `nodes_max` nodes.
pub(crate) fn random_operation(state: &mut State, nodes_max: usize, rng: &mut SmallRng) {
    let crowded = state.nodes.len() > nodes_max;
    match rng.random_range(0..100) {
        0..16 => with_file(state, rng, overwrite),
        16..24 => with_file(state, rng, append),
        24..34 => with_file(state, rng, truncate),
        34..39 => with_file(state, rng, regrow),
        39..47 => with_file(state, rng, punch),
        47..54 => with_file(state, rng, move_in_or_out),
        54..58 => with_file(state, rng, touch),
        58..62 => with_file(state, rng, copy_pages),
        62..67 => rename(state, rng),
        67..69 => swap(state, rng),
        69..72 => link(state, rng),
        72..75 => missed(state, rng),
        75..79 => segment(state, rng),
        79..83 => replace(state, rng),
        83..86 => delete(state, rng),
        _ if crowded => delete(state, rng),
        86..89 => make_directory(state, rng),
        _ => create(state, rng),
    }
}

fn with_file(state: &mut State, rng: &mut SmallRng, operation: fn(&mut State, &mut SmallRng, u64)) {
    if let Some(node) = state.files().choose(rng).copied() {
        operation(state, rng, node);
        let stamp = rng.random();
        if let Some(file) = state.file_mut(node) {
            file.meta = stamp;
        }
    }
}

/// A page number, often beside the end of a block.
fn random_page(rng: &mut SmallRng, below: u64) -> u64 {
    let below = below.max(1);
    let page = match rng.random_range(0..4) {
        0 => BLOCK_PAGES - 3 + rng.random_range(0..6),
        1 => rng.random_range(0..8),
        _ => rng.random_range(0..below),
    };
    page % below
}

fn random_length(rng: &mut SmallRng) -> u64 {
    match rng.random_range(0..12) {
        0 => rng.random_range(1..300),
        1..4 => rng.random_range(1..40),
        _ => rng.random_range(1..5),
    }
}

/// Writes new content to pages; the last page of the file ends where the file ends.
fn write_pages(state: &mut State, node: u64, first: u64, count: u64) {
    let mut location = state.new_blob();
    let Some(size) = state.file(node).map(|file| file.size) else { return };
    for page in first..first + count {
        if u64::from(location.offset) >= BLOCK_PAGES * PAGE {
            location = state.new_blob();
        }
        let length = size.saturating_sub(page * PAGE).min(PAGE) as u32;
        if length == 0 {
            return;
        }
        if let Some(file) = state.file_mut(node) {
            file.pages.insert(page, Page { location, length });
        }
        location.offset += PAGE as u32;
    }
}

fn overwrite(state: &mut State, rng: &mut SmallRng, node: u64) {
    let Some(pages) = state.file(node).map(File::page_count) else { return };
    let first = random_page(rng, pages);
    let count = random_length(rng);
    write_pages(state, node, first, count);
}

fn resize(state: &mut State, node: u64, size: u64) {
    if let Some(file) = state.file_mut(node) {
        file.size = size.min(FILE_PAGES_MAX * PAGE);
        file.inline &= file.page_count() <= INLINE_PAGES_MAX;
        let end = file.page_count();
        file.pages.retain(|page, _| *page < end);
    }
}

fn append(state: &mut State, rng: &mut SmallRng, node: u64) {
    let Some(size) = state.file(node).map(|file| file.size) else { return };
    let bytes = random_length(rng) * PAGE - rng.random_range(0..PAGE) / 2;
    resize(state, node, size + bytes);
    write_pages(state, node, size / PAGE, bytes / PAGE + 2);
}

fn truncate(state: &mut State, rng: &mut SmallRng, node: u64) {
    let Some(pages) = state.file(node).map(File::page_count) else { return };
    let page = random_page(rng, pages);
    let rest = if rng.random_bool(0.5) { 0 } else { rng.random_range(1..PAGE) };
    let rewritten = state.new_blob();
    resize(state, node, page * PAGE + rest);
    let keep_place = rng.random_bool(0.3);
    if let Some(last) = state.file_mut(node).and_then(|file| file.pages.get_mut(&page))
        && u64::from(last.length) > rest
    {
        // What follows the end of the file must be zeros when it grows again: the page is written anew, or less of its old place is named.
        let location = if keep_place { last.location } else { rewritten };
        *last = Page { location, length: rest as u32 };
    }
}

fn regrow(state: &mut State, rng: &mut SmallRng, node: u64) {
    let Some(size) = state.file(node).map(|file| file.size) else { return };
    resize(state, node, size + random_length(rng) * PAGE + rng.random_range(0..PAGE));
    if rng.random_bool(0.5) {
        overwrite(state, rng, node);
    }
}

fn punch(state: &mut State, rng: &mut SmallRng, node: u64) {
    let Some(pages) = state.file(node).map(File::page_count) else { return };
    let first = random_page(rng, pages);
    let end = first + random_length(rng);
    if let Some(file) = state.file_mut(node) {
        file.pages.retain(|page, _| !(first..end).contains(page));
    }
}

fn move_in_or_out(state: &mut State, rng: &mut SmallRng, node: u64) {
    if state.file(node).is_some_and(|file| file.page_count() > INLINE_PAGES_MAX) && rng.random_bool(0.5) {
        let size = rng.random_range(0..INLINE_PAGES_MAX * PAGE);
        truncate(state, rng, node);
        resize(state, node, size.min(state.file(node).map_or(0, |file| file.size)));
        let last = size / PAGE;
        write_pages(state, node, last, 1);
    }
    if let Some(file) = state.file_mut(node) {
        file.inline = !file.inline && file.page_count() <= INLINE_PAGES_MAX;
    }
}

fn touch(_: &mut State, _: &mut SmallRng, _: u64) {}

/// Pages of another file that are stored already: their extents point into the middle of old blobs.
fn copy_pages(state: &mut State, rng: &mut SmallRng, node: u64) {
    let Some(from) = state.files().choose(rng).copied() else { return };
    let Some(pages) = state.file(from).map(|file| file.pages.clone()) else { return };
    let shift = rng.random_range(0..3);
    let Some(file) = state.file_mut(node) else { return };
    let end = file.size / PAGE;
    file.pages.extend(pages.into_iter().map(|(page, place)| (page + shift, place)).filter(|(page, _)| *page < end));
}

fn free_name(state: &State, rng: &mut SmallRng) -> Option<(u64, Vec<u8>)> {
    let directory = *state.directories().choose(rng)?;
    let name = NAMES.choose(rng)?.to_vec();
    (!state.directory(directory)?.entries.contains_key(&name)).then_some((directory, name))
}

fn random_name(state: &State, rng: &mut SmallRng) -> Option<(u64, Vec<u8>, u64)> {
    state.names().choose(rng).cloned()
}

fn insert(state: &mut State, directory: u64, name: Vec<u8>, child: u64) {
    if let Some(directory) = state.directory_mut(directory) {
        directory.entries.insert(name, child);
    }
}

/// True if `below` is `node` or lies below it: there a directory must not be moved.
fn contains(state: &State, node: u64, below: u64) -> bool {
    node == below
        || state
            .directory(node)
            .is_some_and(|directory| directory.entries.values().any(|child| contains(state, *child, below)))
}

fn rename(state: &mut State, rng: &mut SmallRng) {
    let Some((from, name, child)) = random_name(state, rng) else { return };
    let Some((to, new_name)) = free_name(state, rng) else { return };
    if contains(state, child, to) {
        return;
    }
    if let Some(directory) = state.directory_mut(from) {
        directory.entries.remove(&name);
    }
    insert(state, to, new_name.clone(), child);
    state.handles.insert(handle_of(child), (to, new_name));
    if rng.random_bool(0.3) && state.file(child).is_some() {
        // `mv f f.bak; write f`: the new file has much of what the old one has.
        let copy = state.file(child).cloned().map(|file| File { links: 1, meta: rng.random(), ..file });
        if let Some(copy) = copy {
            let node = state.new_node(Node::File(copy));
            insert(state, from, name, node);
            overwrite(state, rng, node);
        }
    }
}

fn swap(state: &mut State, rng: &mut SmallRng) {
    let (Some((one, name, child)), Some((other, other_name, other_child))) =
        (random_name(state, rng), random_name(state, rng))
    else {
        return;
    };
    if contains(state, child, other) || contains(state, other_child, one) {
        return;
    }
    insert(state, one, name, other_child);
    insert(state, other, other_name, child);
    state.settle_handle(child);
    state.settle_handle(other_child);
}

fn link(state: &mut State, rng: &mut SmallRng) {
    let Some(node) = state.files().choose(rng).copied() else { return };
    let Some((directory, name)) = free_name(state, rng) else { return };
    insert(state, directory, name.clone(), node);
    if let Some(file) = state.file_mut(node) {
        file.links += 1;
    }
    state.handles.insert(handle_of(node), (directory, name));
}

fn new_file(state: &mut State, rng: &mut SmallRng) -> u64 {
    let size = random_length(rng) * PAGE - rng.random_range(0..PAGE);
    let inline = size <= INLINE_PAGES_MAX * PAGE && rng.random_bool(0.7);
    let file = File { meta: rng.random(), links: 1, size, inline, pages: Default::default() };
    let node = state.new_node(Node::File(file));
    if rng.random_bool(0.8) {
        write_pages(state, node, 0, size.div_ceil(PAGE));
    } else {
        overwrite(state, rng, node);
    }
    node
}

fn create(state: &mut State, rng: &mut SmallRng) {
    let Some((directory, name)) = free_name(state, rng) else { return };
    let node = new_file(state, rng);
    insert(state, directory, name, node);
}

fn replace(state: &mut State, rng: &mut SmallRng) {
    let Some((directory, name, child)) = random_name(state, rng) else { return };
    if state.file(child).is_some() {
        state.unlink(directory, &name);
        let node = new_file(state, rng);
        insert(state, directory, name, node);
    }
}

fn make_directory(state: &mut State, rng: &mut SmallRng) {
    let Some((directory, name)) = free_name(state, rng) else { return };
    let node = state.new_node(Node::Directory(Directory { meta: rng.random(), ..Directory::default() }));
    insert(state, directory, name, node);
}

fn delete(state: &mut State, rng: &mut SmallRng) {
    if let Some((directory, name, _)) = random_name(state, rng) {
        state.unlink(directory, &name);
    }
    if rng.random_bool(0.1)
        && let Some(root) = state.directory_mut(ROOT)
    {
        root.meta = rng.random();
    }
}

fn missed(state: &mut State, rng: &mut SmallRng) {
    let Some(node) = state.directories().choose(rng).copied() else { return };
    let Some(name) = NAMES.choose(rng) else { return };
    let what =
        *[MissedWhat::Absent, MissedWhat::OlderContent, MissedWhat::Mixed].choose(rng).unwrap_or(&MissedWhat::Absent);
    let remove = rng.random_bool(0.5);
    if let Some(directory) = state.directory_mut(node) {
        match remove {
            true => directory.missed.remove(*name),
            false => directory.missed.insert(name.to_vec(), what),
        };
    }
}

fn segment(state: &mut State, rng: &mut SmallRng) {
    let hash = [rng.random_range(0..20); 32];
    if rng.random_bool(0.4) {
        state.segments.remove(&hash);
    } else {
        let location = Location { offset: rng.random_range(0..1000), ..state.new_blob() };
        state.segments.insert(hash, (location, rng.random_range(1..65536)));
    }
}
