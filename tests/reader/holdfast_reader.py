#!/usr/bin/env python3
"""An independent reader of Holdfast repositories, written from docs/format.md alone.

In: a repository in a directory, a passphrase file, a restore point. Out: a listing, or the point's tree below a new directory.
Never: shares a line with the writer, writes into the repository, writes a byte of content that it has not verified.
Whatever the document calls an error is one here. Metadata of a point is held in memory whole: this reader is plain, not fast.
Needs the packages blake3, cryptography, pyrage and zstandard. Section numbers in comments are those of docs/format.md.
"""
import argparse
import bisect
import functools
import hmac
import json
import os
import re
import stat
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Iterator, TypeVar

import blake3
import pyrage
import zstandard
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

T = TypeVar("T")
PAGE, BLOCK, BLOCK_PAGES = 4096, 1 << 20, 256
OBJECT_PACK, OBJECT_POINT, OBJECT_SESSION, OBJECT_DOMAIN_KEY = 1, 2, 3, 4
WRAPPING, STRUCTURE, METADATA, DATA = 1, 2, 3, 4
KEY_CLASS_NAMES = {STRUCTURE: "structure", METADATA: "metadata", DATA: "data"}
K_DATA, K_TABLE, K_INDEX, K_FOOTER, K_SEGMENTS, K_DIRECTORY = 1, 2, 3, 4, 5, 6
K_REFERENCES, K_DESCRIPTION, K_RUNS, K_SESSION, K_DOMAIN_KEY = 7, 8, 9, 10, 11
KINDS = {  # kind of a sealed blob: (class of its key, most bytes of plaintext), section 3.2
    K_DATA: (DATA, 1 << 20), K_TABLE: (METADATA, 256 << 10), K_INDEX: (METADATA, 4 << 20), K_FOOTER: (STRUCTURE, 16 << 20),
    K_SEGMENTS: (METADATA, 16 << 20), K_DIRECTORY: (STRUCTURE, 16 << 20), K_REFERENCES: (STRUCTURE, 64 << 20),
    K_DESCRIPTION: (METADATA, 16 << 20), K_RUNS: (METADATA, 64 << 20), K_SESSION: (STRUCTURE, 1 << 20),
    K_DOMAIN_KEY: (WRAPPING, 64 << 10),
}
TREE, CONTENT, SIGN, HANDLE, SEGMENT = range(5)
REGULAR, DIRECTORY, LINK, FIFO, SOCKET, CHARACTER, BLOCK_DEVICE = range(1, 8)
NODE_TYPES = {FIFO: stat.S_IFIFO, SOCKET: stat.S_IFSOCK, CHARACTER: stat.S_IFCHR, BLOCK_DEVICE: stat.S_IFBLK}


class Broken(Exception):
    """The repository is not as the document says, or the wrong key was given."""


def need(condition: object, what: str) -> None:
    if not condition:
        raise Broken(what)


# ---- 1. Conventions ----

def b3(message: bytes) -> bytes:
    return blake3.blake3(message).digest()


def b3k(key: bytes, message: bytes, length: int = 32) -> bytes:
    return blake3.blake3(message, key=key).digest(length=length)


def derive(key: bytes, label: str, message: bytes) -> bytes:
    return b3k(key, label.encode() + b"\0" + message)


def le(value: int, size: int) -> bytes:
    return value.to_bytes(size, "little")


def unhex(text: object, size: int) -> bytes:
    need(isinstance(text, str) and re.fullmatch(f"[0-9a-f]{{{2 * size}}}", text), f"not {size} bytes in hex: {text!r}")
    return bytes.fromhex(str(text))


def json_object(text: bytes) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise Broken(f"not JSON: {error}") from error
    need(isinstance(value, dict), "JSON that is not an object")
    return value


class Cursor:
    """Reads the fields of section 1 one after another; never past the end."""

    def __init__(self, buffer: bytes) -> None:
        self.buffer, self.at = buffer, 0

    def take(self, count: int) -> bytes:
        need(count <= len(self.buffer) - self.at, f"{count} bytes expected at {self.at}, the input is too short")
        self.at += count
        return self.buffer[self.at - count:self.at]

    def fixed(self, size: int) -> int:
        return int.from_bytes(self.take(size), "little")

    def varint(self, most: int = 2**64 - 1) -> int:
        value = 0
        for shift in range(0, 70, 7):
            byte = self.fixed(1)
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                need(byte or shift == 0, "a varint is not in its shortest form")
                need(value <= most, f"{value} is larger than {most}")
                return value
        raise Broken("a varint has more than 10 bytes")

    def svarint(self) -> int:
        value = self.varint()
        return (value >> 1) ^ -(value & 1)

    def bytes(self, least: int = 0, most: int = 2**64 - 1) -> bytes:
        length = self.varint(most)
        need(length >= least, f"{length} bytes where at least {least} are needed")
        return self.take(length)

    def zeros(self, count: int) -> None:
        need(not any(self.take(count)), "reserved bytes are not zero")

    def more(self) -> bool:
        return self.at < len(self.buffer)


def decode(buffer: bytes, read: Callable[[Cursor], T]) -> T:
    """What `read` makes of all of `buffer`: bytes left over are an error."""
    cursor = Cursor(buffer)
    value = read(cursor)
    need(not cursor.more(), f"{len(buffer) - cursor.at} bytes are left over")
    return value


# ---- 3. Sealing ----

@dataclass(frozen=True)
class Slot:
    key_id: bytes
    commitment: bytes


@dataclass(frozen=True)
class Header:
    kind: int
    salt: bytes
    slots: dict[int, Slot]


def read_header(c: Cursor) -> Header:
    need(c.take(8) == b"HOLDFAST", "no object of Holdfast")
    need((version := c.fixed(2)) == 1, f"format version {version} is unknown")
    kind = c.fixed(1)
    need(c.fixed(1) == 1, "the suite is unknown")
    count = c.fixed(1)
    need(1 <= count <= 4, f"{count} key slots")
    c.zeros(3)
    salt, slots, last = c.take(32), {}, 0
    for _ in range(count):
        key_class = c.fixed(1)
        need(last < key_class <= DATA, "classes of keys are not in order")
        c.zeros(3)
        slots[key_class], last = Slot(c.take(16), c.take(32)), key_class
    return Header(kind, salt, slots)


class Opener:
    """Opens the sealed blobs of one object."""

    def __init__(self, repository_id: bytes, name: str, header: Header, class_key: Callable[[int, bytes], bytes]) -> None:
        self.name, self.keys = name, {}
        self.context = b3(b"holdfast v1 aad\0" + le(1, 2) + bytes([1, header.kind]) + repository_id + name.encode())
        for key_class, slot in header.slots.items():
            message = b"holdfast v1 object\0" + header.salt + repository_id + bytes([key_class])
            expanded = b3k(class_key(key_class, slot.key_id), message, 64)
            need(hmac.compare_digest(expanded[32:], slot.commitment), f"{name}: wrong key or damaged header")
            self.keys[key_class] = AESGCM(expanded[:32])

    def open(self, kind: int, codec: int, number: int, length: int, sealed: bytes) -> bytes:
        what = f"{self.name}, blob {number} of kind {kind}"
        need(kind in KINDS and codec in (0, 1), f"{what}: kind or codec {codec} is unknown")
        key_class, most = KINDS[kind]
        need(length <= most and key_class in self.keys, f"{what}: too long, or without a key")
        aad = self.context + bytes([kind, codec, 0, 0]) + le(number, 4) + le(length, 4)
        try:
            packed = self.keys[key_class].decrypt(le(number, 4) + bytes(8), sealed, aad)
            plain = decompress(packed, length) if codec else packed
        except (InvalidTag, ValueError, zstandard.ZstdError) as error:
            raise Broken(f"{what} is damaged: {error!r}") from error
        need(len(plain) == length, f"{what}: {len(plain)} bytes instead of {length}")
        return plain


def decompress(packed: bytes, length: int) -> bytes:
    frame = zstandard.get_frame_parameters(packed)
    need(frame.dict_id == 0 and frame.window_size <= 1 << 23, "a zstd frame with a dictionary or a large window")
    need(frame.content_size in (length, zstandard.CONTENTSIZE_UNKNOWN), "a zstd frame of another length")
    decompressor = zstandard.ZstdDecompressor(max_window_size=1 << 23)
    return decompressor.decompress(packed, max_output_size=max(length, 1), allow_extra_data=False)


def read_sections(c: Cursor, opener: Opener, kinds: list[int]) -> list[bytes]:
    plains = []
    for expected, kind in enumerate(kinds):
        found, codec = c.fixed(1), c.fixed(1)
        c.zeros(2)
        number, length, sealed_length = c.fixed(4), c.fixed(4), c.fixed(4)
        need((found, number) == (kind, expected), f"{opener.name}: section {expected} is not of kind {kind}")
        plains.append(opener.open(kind, codec, number, length, c.take(sealed_length)))
    return plains


# ---- 4. Keys ----

class Repository:
    """One repository, opened: its id, its repository key, and its upkeep key."""

    def __init__(self, root: Path, passphrase: str) -> None:
        self.root = root
        manifest = json_object(self.read("repository.json", 64 << 10))
        need(manifest.get("format") == "holdfast", "repository.json is not of Holdfast")
        need(manifest.get("version") == 1, f"format {manifest.get('version')} is newer than this reader")
        for feature in self.names("features/"):
            need(not feature.endswith(".read"), f"the repository needs {feature}, which this reader does not know")
        self.id, public = unhex(manifest.get("repository"), 32), unhex(manifest.get("upkeep_public"), 32)
        self.key = self.unlock(passphrase, public)
        self.upkeep = Ed25519PublicKey.from_public_bytes(public)
        private = unhex(manifest.get("upkeep_private"), 80)
        seed = AESGCM(derive(self.key, "holdfast v1 upkeep", private[:32] + self.id)).decrypt(bytes(12), private[32:], None)
        derived = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        need(derived == public, "the halves of the upkeep key do not belong together")

    def read(self, name: str, most: int = 65 << 20) -> bytes:
        try:
            with open(self.root / name, "rb") as file:
                content = file.read(most + 1)
        except FileNotFoundError as error:
            raise Broken(f"{name} is missing") from error
        need(len(content) <= most, f"{name} is longer than {most} bytes")
        return content

    def names(self, prefix: str) -> list[str]:
        folder = self.root / prefix
        return sorted(str(path.relative_to(self.root)) for path in folder.rglob("*") if path.is_file())

    def unlock(self, passphrase: str, upkeep_public: bytes) -> bytes:
        for name in self.names("keys/"):
            sealed = self.read(name, 64 << 10)
            work = re.match(rb"age-encryption\.org/v1\n-> scrypt [^ \n]+ (\d+)\n", sealed)
            if not work or int(work[1]) > 20:
                continue
            try:
                record = json_object(pyrage.passphrase.decrypt(sealed, passphrase))
            except pyrage.DecryptError:
                continue
            key = unhex(record.get("key"), 32)
            if derive(key, "holdfast v1 repository id", upkeep_public) == self.id == unhex(record.get("repository"), 32):
                return key
        raise Broken("no key of the repository opens with this passphrase")


class Domain:
    """One domain: its derived keys, its key objects, its packs."""

    def __init__(self, repository: Repository, name: str) -> None:
        self.repository = repository
        domain_id = derive(repository.key, "holdfast v1 domain id", name.encode())[:16]
        root = derive(repository.key, "holdfast v1 domain", domain_id)
        self.naming, self.hashing, self.wrapping = (
            derive(root, f"holdfast v1 {use}", b"") for use in ("naming", "hashing", "wrapping"))
        self.prefix = f"d/{domain_id.hex()}/"
        self.class_keys: dict[tuple[int, bytes], bytes] = {}
        wrapping_id = derive(self.wrapping, "holdfast v1 key id", b"")[:16]
        for key in repository.names(self.prefix + "keys/"):
            match = re.fullmatch(r"(0|[1-9][0-9]*)\.([0-9a-f]{32})\.key", key.rsplit("/", 1)[1])
            if match:
                self.add_keys(key, int(match[1]), unhex(match[2], 16), (name, wrapping_id))
        need(self.class_keys, f"the domain {name} has no keys here")

    def add_keys(self, object_name: str, epoch: int, key_id: bytes, expected: tuple[str, bytes]) -> None:
        def wrapping(key_class: int, slot_id: bytes) -> bytes:
            need((key_class, slot_id) == (WRAPPING, expected[1]), f"{object_name} is sealed for another domain")
            return self.wrapping
        text, = self.sections(object_name, OBJECT_DOMAIN_KEY, [K_DOMAIN_KEY], wrapping)
        record = json_object(text)
        need((record.get("epoch"), record.get("name")) == (epoch, expected[0]), f"{object_name}: another epoch or domain")
        for key_class, member in KEY_CLASS_NAMES.items():
            self.class_keys[key_class, key_id] = unhex(record.get(member), 32)

    def class_key(self, key_class: int, key_id: bytes) -> bytes:
        need((key_class, key_id) in self.class_keys, f"there is no key {key_id.hex()} of class {key_class}")
        return self.class_keys[key_class, key_id]

    def sections(self, name: str, kind: int, kinds: list[int], key: Callable[[int, bytes], bytes] | None = None) -> list[bytes]:
        def read(c: Cursor) -> list[bytes]:
            header = read_header(c)
            need(header.kind == kind, f"{name} is of kind {header.kind}")
            need(set(header.slots) == {KINDS[k][0] for k in kinds}, f"{name} has other key slots")
            return read_sections(c, Opener(self.repository.id, name, header, key or self.class_key), kinds)
        return decode(self.repository.read(name, 256 << 20), read)

    def page_hash(self, page: bytes) -> bytes:
        return b3k(self.hashing, page)

    def signature(self, page: bytes) -> int:
        return max(1, int.from_bytes(self.page_hash(page)[:8], "little")) if any(page) else 0

    def segment_hash(self, content: bytes) -> bytes:
        pages = (self.page_hash(content[at:at + PAGE]) for at in range(0, len(content), PAGE))
        return b3k(self.hashing, b"segment" + b"".join(pages))

    @functools.lru_cache(maxsize=256)
    def pack(self, sid: bytes, seq: int) -> "Pack":
        return Pack(self, sid, seq)

    @functools.lru_cache(maxsize=128)
    def data_blob(self, sid: bytes, seq: int, number: int) -> bytes:
        return self.pack(sid, seq).data(number)

    def signed(self, name: str) -> bool:
        """Section 10: whether the name of a mark or a damage object carries a valid signature."""
        said, _, signature = name.rpartition(".")
        try:
            self.repository.upkeep.verify(bytes.fromhex(signature), b"holdfast v1 mark\0" + self.repository.id + said.encode())
            return True
        except (InvalidSignature, ValueError):
            return False


# ---- 5.2 Extents ----

@dataclass(frozen=True)
class PackReference:
    sid: bytes
    seq: int
    length: int
    data_bytes: int
    directory_hash: bytes


def read_pack_reference(c: Cursor) -> PackReference:
    return PackReference(c.take(16), c.varint(2**32 - 1), c.varint(), c.varint(), c.take(32))


@dataclass(frozen=True)
class Extent:
    page: int
    length: int
    pack: PackReference | None
    blob: int = 0
    offset: int = 0

    def pages(self) -> range:
        return range(self.page, self.page + -(-self.length // PAGE))


def read_extents(c: Cursor, packs: list[PackReference]) -> list[Extent]:
    extents, page = [], 0
    for _ in range(c.varint(BLOCK_PAGES)):
        page += c.varint(BLOCK_PAGES)
        length, source = c.varint(BLOCK), c.varint(len(packs))
        need(length >= 1, "an extent of no bytes")
        blob, offset = (c.varint(65535), c.varint(BLOCK)) if source else (0, 0)
        need(offset + length <= BLOCK, "an extent leaves its blob")
        extents.append(Extent(page, length, packs[source - 1] if source else None, blob, offset))
        page = extents[-1].pages().stop
        need(page <= BLOCK_PAGES, "an extent leaves its block")
    return extents


def extent_page(domain: Domain, extent: Extent, page: int) -> bytes:
    """The bytes that an extent has for a page; a reader pads them with zeros."""
    if extent.pack is None:
        return b""
    start = (page - extent.page) * PAGE
    blob = domain.data_blob(extent.pack.sid, extent.pack.seq, extent.blob)
    need(extent.offset + extent.length <= len(blob), "an extent leaves its blob")
    return blob[extent.offset + start:extent.offset + min(start + PAGE, extent.length)]


def assemble(domain: Domain, extents: list[Extent], size: int) -> bytes:
    content = bytearray(-(-size // PAGE) * PAGE)
    for extent in extents:
        for page in extent.pages():
            need(page * PAGE < size, "an extent begins behind the end")
            piece = extent_page(domain, extent, page)
            content[page * PAGE:page * PAGE + len(piece)] = piece
    return bytes(content[:size])


# ---- 6. Packs ----

@dataclass(frozen=True)
class Blob:
    kind: int
    codec: int
    offset: int
    sealed_length: int
    length: int
    checksum: bytes


class Pack:
    """One pack with its directory, which tells the place of each blob."""

    def __init__(self, domain: Domain, sid: bytes, seq: int) -> None:
        self.domain, self.sid, self.seq = domain, sid, seq
        self.name = f"{domain.prefix}packs/{sid.hex()[-2:]}/{sid.hex()}/{seq:08x}"
        self.content = domain.repository.read(self.name, 64 << 20)
        start = Cursor(self.content)
        self.header = read_header(start)
        need(self.header.kind == OBJECT_PACK and STRUCTURE in self.header.slots, f"{self.name} is no pack")
        need(len({slot.key_id for slot in self.header.slots.values()}) == 1, f"{self.name}: several key ids")
        self.opener = Opener(domain.repository.id, self.name, self.header, domain.class_key)
        self.read_directory(start.at)
        used = {KINDS[blob.kind][0] for blob in self.blobs} | {STRUCTURE}
        need(used <= set(self.header.slots), f"{self.name}: its key slots are not those its blobs use")
        self.data_bytes = sum(blob.length for blob in self.blobs if blob.kind == K_DATA)
        self.read_segments()

    def read_directory(self, blobs_at: int) -> None:
        end = len(self.content) - 64
        footer = Cursor(self.content[max(end, 0):])
        need(footer.take(8) == b"HFPACKFT", f"{self.name} has no footer: it is torn")
        offset, sealed_length, length, number, codec = (footer.fixed(size) for size in (8, 4, 4, 4, 1))
        footer.zeros(3)
        self.directory_hash = footer.take(32)
        sealed = self.content[offset:end]
        need(len(sealed) == sealed_length and b3(sealed) == self.directory_hash, f"{self.name}: its directory is damaged")
        self.blobs: list[Blob] = []

        def read(c: Cursor) -> None:
            at = blobs_at
            for _ in range(c.varint(65535)):
                kind, codec, sealed_length, length = c.fixed(1), c.fixed(1), c.varint(offset), c.varint(2**32 - 1)
                need(kind in (K_DATA, K_TABLE, K_INDEX, K_FOOTER, K_SEGMENTS), f"{self.name}: a blob of kind {kind}")
                self.blobs.append(Blob(kind, codec, at, sealed_length, length, c.take(16)))
                at += sealed_length
            need(at == offset, f"{self.name}: its directory does not cover its blobs")
        decode(self.opener.open(K_DIRECTORY, codec, number, length, sealed), read)
        need(number == len(self.blobs), f"{self.name}: the number of its directory is not that of its blobs")

    def blob(self, number: int, kind: int) -> bytes:
        need(number < len(self.blobs) and self.blobs[number].kind == kind, f"{self.name}: no blob {number} of kind {kind}")
        blob = self.blobs[number]
        sealed = self.content[blob.offset:blob.offset + blob.sealed_length]
        need(b3(sealed)[:16] == blob.checksum, f"{self.name}: blob {number} is damaged")
        return self.opener.open(kind, blob.codec, number, blob.length, sealed)

    def read_segments(self) -> None:
        self.segments: dict[int, list[tuple[int, bytes]]] = {}
        data = [number for number, blob in enumerate(self.blobs) if blob.kind == K_DATA]
        lists = [number for number, blob in enumerate(self.blobs) if blob.kind == K_SEGMENTS]
        need(lists == ([len(self.blobs) - 1] if data else []), f"{self.name}: its segment list is not in its place")
        if not data:
            return

        def read(c: Cursor) -> None:
            for number in data:
                self.segments[number] = segments = []
                for _ in range(c.varint(BLOCK)):
                    segments.append((c.varint(BLOCK), c.take(32)))
                    c.bytes(0, 512)
                need(sum(length for length, _ in segments) == self.blobs[number].length, "segments do not cover a blob")
        decode(self.blob(lists[0], K_SEGMENTS), read)

    def data(self, number: int) -> bytes:
        plain, at = self.blob(number, K_DATA), 0
        for length, expected in self.segments[number]:
            need(self.domain.segment_hash(plain[at:at + length]) == expected, f"{self.name}: a segment of blob {number} is damaged")
            at += length
        return plain

    def check(self, reference: PackReference, may_be_unknown: bool) -> None:
        """A reference says how long a pack is; in a table's pack list it may be unknown."""
        said = (reference.length, reference.data_bytes, reference.directory_hash)
        if may_be_unknown and said == (0, 0, bytes(32)):
            return
        need(said == (len(self.content), self.data_bytes, self.directory_hash), f"{self.name} is not the pack that is referred to")


# ---- 7.2 Tables ----

@dataclass(frozen=True)
class TableReference:
    pack: PackReference
    salt: bytes
    key_id: bytes
    offset: int
    length: int
    footer_number: int
    footer: tuple[int, int, int]  # sealed length, plaintext length, codec
    footer_hash: bytes
    rows: int


@dataclass
class Table:
    packs: list[PackReference]
    rows: list[tuple[bytes, bytes]]


def read_table(domain: Domain, reference: TableReference, table_class: int) -> Table:
    pack = domain.pack(reference.pack.sid, reference.pack.seq)
    pack.check(reference.pack, may_be_unknown=False)
    need((pack.header.salt, pack.header.slots[STRUCTURE].key_id) == (reference.salt, reference.key_id), f"{pack.name}: another header")
    number, end = reference.footer_number, reference.offset + reference.length
    need(number < len(pack.blobs), f"{pack.name} has no blob {number}")
    place = pack.blobs[number]
    need((place.sealed_length, place.length, place.codec) == reference.footer, f"{pack.name}: a table's footer differs")
    need(place.offset + place.sealed_length == end, f"{pack.name}: a table's footer is not where it should be")
    need(b3(pack.content[place.offset:end]) == reference.footer_hash, f"{pack.name}: a table's footer is damaged")
    first, packs = decode(pack.blob(number, K_FOOTER), lambda c: read_footer(c, pack, reference, table_class))
    index = decode(pack.blob(number - 1, K_INDEX), lambda c: read_index(c, number - 1 - first))
    rows: list[tuple[bytes, bytes]] = []
    for block, (first_key, count) in enumerate(index[0]):
        found = read_rows(pack.blob(first + block, K_TABLE))
        need(len(found) == count and count and found[0][0] == first_key, f"{pack.name}: a table's index is wrong")
        rows += found
    need(rows[-1][0] == index[1] and len(rows) == reference.rows, f"{pack.name}: a table has other rows than promised")
    return Table(packs, rows)


def read_footer(c: Cursor, pack: Pack, reference: TableReference, table_class: int) -> tuple[int, list[PackReference]]:
    need(c.fixed(1) == table_class, f"{pack.name}: a table is of another class")
    need(c.fixed(4) == reference.offset, f"{pack.name}: a table begins elsewhere")
    first = c.fixed(4)
    blocks = c.varint(65535)
    need(blocks >= 1 and first + blocks + 1 == reference.footer_number, f"{pack.name}: a table's blobs are not consecutive")
    for blob in pack.blobs[first:reference.footer_number]:
        need((c.varint(), c.varint(), c.fixed(1)) == (blob.sealed_length, blob.length, blob.codec), f"{pack.name}: a table's blobs differ")
    need(pack.blobs[first].offset == reference.offset, f"{pack.name}: a table begins elsewhere")
    packs = []
    for _ in range(c.varint(2**32)):
        packs.append(read_pack_reference(c))
        c.varint()
    need(len({(p.sid, p.seq) for p in packs}) == len(packs), f"{pack.name}: a table lists a pack twice")
    read_losses(c)
    return first, packs


def read_losses(c: Cursor) -> None:
    """Hints for writers; a reader only makes sure that they are written as they must be."""
    before = b""
    for _ in range(c.varint(2**32)):
        sid, end, count = c.take(16), 0, c.varint(2**32)
        need(sid > before and count >= 1, "losses of a table are not in order")
        for _ in range(count):
            end += c.varint(2**32) + 1
            need(end < 2**32 and c.varint() >= 1, "a loss of a table is not one")
        before = sid


def read_key(c: Cursor, previous: bytes) -> bytes:
    shared = c.varint(len(previous))
    key = previous[:shared] + c.bytes(0, 512 - shared)
    need(key > previous and len(key) >= 2, "keys of a table do not ascend")
    need(previous[:shared + 1] != key[:shared + 1] or shared == len(previous), "a key shares less than it could")
    return key


def read_index(c: Cursor, blocks: int) -> tuple[list[tuple[bytes, int]], bytes]:
    need(c.varint() == blocks, "an index has another number of blocks")
    entries, key = [], b""
    for _ in range(blocks):
        key = read_key(c, key)
        entries.append((key, c.varint()))
    return entries, c.bytes(2, 512)


def read_rows(block: bytes) -> list[tuple[bytes, bytes]]:
    c, rows, key = Cursor(block), [], b""
    while c.more():
        key = read_key(c, key)
        rows.append((key, c.bytes(1, 64 << 10)))
    return rows


# ---- 7.3 Rows ----

@dataclass
class Inode:
    mode: int
    uid: int
    gid: int
    size: int
    links: int
    mtime_ns: int
    mixed: bool
    inline: tuple[int, list[Extent]] | None
    device: tuple[int, int] | None
    target: bytes | None
    attributes: list[tuple[bytes, bytes | tuple[int, list[Extent]]]]


def read_inode(c: Cursor, packs: list[PackReference]) -> Inode:
    mode, uid, gid, size, links = c.varint(0o7777), c.varint(2**32 - 1), c.varint(2**32 - 1), c.varint(), c.varint()
    mtime_ns = c.svarint() * 10**9 + c.varint(10**9 - 1)
    flags = c.fixed(1)
    need(not flags & 128, "an inode has an unknown flag")
    if flags & 1:  # stamp
        c.bytes(0, 64), c.fixed(8), c.svarint(), c.varint(10**9 - 1), c.svarint(), c.varint(10**9 - 1), c.varint()
    inline = (c.fixed(8), read_extents(c, packs)) if flags & 8 else None
    device = (c.varint(2**32 - 1), c.varint(2**32 - 1)) if flags & 16 else None
    target = c.bytes(1, 4095) if flags & 32 else None
    attributes: list[tuple[bytes, bytes | tuple[int, list[Extent]]]] = []
    for _ in range(c.varint() if flags & 64 else 0):
        name, where = c.bytes(1, 255), c.fixed(1)
        need(where <= 1, "an attribute is nowhere")
        attributes.append((name, (c.varint(BLOCK), read_extents(c, packs)) if where else c.bytes()))
    names = [name for name, _ in attributes]
    need(names == sorted(set(names)) and bool(names) == bool(flags & 64), "attributes are missing or out of order")
    return Inode(mode, uid, gid, size, links, mtime_ns, bool(flags & 4), inline, device, target, attributes)


@dataclass(frozen=True)
class Entry:
    name: bytes
    node: int
    type: int
    inode: Inode | None


def read_entry(c: Cursor, name: bytes, packs: list[PackReference]) -> Entry:
    need(1 <= len(name) <= 255 and not {0, 0x2F} & set(name) and name not in (b".", b".."), f"{name!r} cannot be a name")
    node, kind, flags = c.varint(), c.fixed(1), c.fixed(1)
    need(node >= 1 and REGULAR <= kind <= BLOCK_DEVICE and flags <= 1, f"the entry {name!r} is not valid")
    return Entry(name, node, kind, read_inode(c, packs) if flags else None)


@dataclass(frozen=True)
class Head:
    gone: bool
    cut: int | None


def read_head(c: Cursor, flags_known: int) -> Head:
    flags = c.fixed(1)
    need(not flags & ~flags_known, f"a Head has the flags {flags}")
    return Head(bool(flags & 1), c.varint() if flags & 2 else None)


def read_sign(c: Cursor) -> dict[int, int]:
    pages, last = [], -1
    for _ in range(c.varint(BLOCK_PAGES)):
        first, more = c.fixed(1), c.fixed(1)
        need(first > last + (last >= 0) and first + more < BLOCK_PAGES, "ranges of signatures touch or leave the block")
        last = first + more
        pages += range(first, last + 1)
    return {page: c.fixed(8) for page in pages}


# ---- 7.4 Overlay ----

class Rows:
    """All rows of one class of one tree, newest run first for each key."""

    def __init__(self, domain: Domain, table_class: int, runs: list[list[TableReference]]) -> None:
        self.values: dict[bytes, list[tuple[int, bytes, list[PackReference]]]] = defaultdict(list)
        self.heads: dict[int, list[tuple[int, Head]]] = defaultdict(list)
        self.packs: list[PackReference] = []
        for run, tables in enumerate(runs):
            last = b""
            for table in (read_table(domain, reference, table_class) for reference in tables):
                self.packs += table.packs
                for key, value in table.rows:
                    need(last < key, "the keys of a run do not ascend")
                    last = key
                    self.add(table_class, run, key, (value, table.packs))
        self.keys = sorted(self.values)

    def add(self, table_class: int, run: int, key: bytes, row: tuple[bytes, list[PackReference]]) -> None:
        value, packs = row
        need(value == b"\0" or (value[0] == 1 and len(value) > 1), f"the row {key.hex()} has no valid value")
        if table_class in (TREE, CONTENT, SIGN):
            need(len(key) >= 9, f"the key {key.hex()} is too short")
            if key[8:] == b"\0":
                need(value != b"\0", "a Head cannot be a tombstone")
                head = decode(value[1:], lambda c: read_head(c, 1 if table_class == TREE else 3))
                self.heads[int.from_bytes(key[:8], "big")].append((run, head))
                return
        elif table_class == HANDLE:
            need(2 <= len(key) <= 65 and key[-1] == len(key) - 1, f"the key {key.hex()} is not that of a handle")
        else:
            need(len(key) == 32, f"the key {key.hex()} is not that of a segment")
        self.values[key].append((run, value, packs))

    def above(self, node: int, run: int) -> tuple[bool, int]:
        """Whether Heads of newer runs hide the node's rows of a run, and the first page they cut."""
        heads = [head for at, head in self.heads.get(node, []) if at < run]
        return any(head.gone for head in heads), min((head.cut for head in heads if head.cut is not None), default=2**64)

    def layers(self, key: bytes) -> Iterator[tuple[int, bytes | None, list[PackReference]]]:
        """The rows of a key that no `gone` hides, newest first: (cut, body or None for a tombstone, pack list)."""
        for run, value, packs in self.values.get(key, []):
            gone, cut = self.above(int.from_bytes(key[:8], "big"), run)
            if gone:
                return
            yield cut, value[1:] if value[0] else None, packs

    def newest(self, key: bytes) -> tuple[bytes, list[PackReference]] | None:
        for _, body, packs in self.layers(key):
            return None if body is None else (body, packs)
        return None

    def of_node(self, node: int, tag: int) -> Iterator[bytes]:
        """The keys of a node with a tag, in order."""
        prefix = node.to_bytes(8, "big") + bytes([tag])
        for key in self.keys[bisect.bisect_left(self.keys, prefix):]:
            if not key.startswith(prefix):
                return
            yield key


# ---- 8. Restore points ----

def read_references(c: Cursor) -> tuple[bool, int, bytes | None, dict[tuple[bytes, int], int]]:
    """(checkpoint, created, parent, what of each pack)"""
    flags, created, has_parent = c.fixed(1), c.svarint(), c.fixed(1)
    need(flags <= 1 and has_parent <= 1, "a reference part has unknown flags")
    parent = c.take(16) if has_parent else None
    packs: dict[tuple[bytes, int], int] = {}
    last = b""
    for _ in range(c.varint(2**32)):
        sid, at = c.take(16), 0
        need(sid > last, "the sessions of a reference part do not ascend")
        last = sid
        for _ in range(c.varint(2**32)):
            at += c.varint(2**32)
            length, what = c.varint(2**32), c.fixed(1)
            need(length >= 1 and 1 <= what <= 3 and at + length <= 2**32, "a reference part has an impossible range")
            packs.update({(sid, seq): what for seq in range(at, at + length)})
            at += length
    return bool(flags), created, parent, packs


def read_runs(c: Cursor) -> tuple[int, list[list[list[TableReference]]]]:
    """(next node, by class the runs with their tables)"""
    packs = [(read_pack_reference(c), c.take(32), c.take(16)) for _ in range(c.varint(2**32))]
    need(c.varint() == 1, "not one tree")
    next_node = c.varint()

    def table() -> TableReference:
        where, offset, length, number = c.varint(), c.varint(), c.varint(), c.varint(65535)
        need(where < len(packs), "a table lies in no pack")
        return TableReference(*packs[where], offset, length, number, (c.varint(), c.varint(), c.fixed(1)), c.take(32), c.varint())
    return next_node, [[[table() for _ in range(c.varint(2**32))] for _ in range(c.varint(2**32))] for _ in range(5)]


class Point:
    """One restore point: what its object says, and whether it stands."""

    def __init__(self, domain: Domain, name: str) -> None:
        self.domain, self.name = domain, name
        volume, file = name.split("/")[-2:]
        self.sid, self.volume_id = unhex(file.removesuffix(".point"), 16), unhex(volume, 16)
        references, description, self.runs = domain.sections(name, OBJECT_POINT, [K_REFERENCES, K_DESCRIPTION, K_RUNS])
        self.checkpoint, self.created, self.parent, self.packs = decode(references, read_references)
        self.description = json_object(description)
        self.volume = str(self.description["volume"]["name"])
        volume_id = derive(domain.naming, "holdfast v1 volume id", self.volume.encode())[:16]
        need(volume_id == self.volume_id, f"{name} is of another volume")
        need(self.description["parent"] == (self.parent.hex() if self.parent else None), f"{name} contradicts itself")
        self.marks = {mark.split(".")[1] for mark in domain.repository.names(f"{domain.prefix}marks/{volume}/")
                      if mark.split("/")[-1].startswith(self.sid.hex() + ".") and domain.signed(mark)}
        self.state = self.stand()

    def stand(self) -> str:
        if doom := self.marks & {"dead", "doomed"}:
            return sorted(doom)[0]
        name = f"{self.domain.prefix}sessions/{self.sid.hex()}.open"
        if not (self.domain.repository.root / name).is_file():
            return "without session"
        text, = self.domain.sections(name, OBJECT_SESSION, [K_SESSION])
        need(unhex(json_object(text).get("volume"), 16) == self.volume_id, f"{name} is of another volume")
        return "retired" if "retired" in self.marks else "checkpoint" if self.checkpoint else "valid"


def list_points(domain: Domain) -> list[Point]:
    names = [name for name in domain.repository.names(domain.prefix + "points/") if name.endswith(".point")]
    return sorted((Point(domain, name) for name in names), key=lambda point: (point.created, point.sid))


# ---- 11. Reading files ----

class Tree:
    """The metadata of one point, opened and proven to use the packs that the point says it uses."""

    def __init__(self, point: Point) -> None:
        self.domain = point.domain
        self.next_node, runs = decode(point.runs, read_runs)
        self.rows = [Rows(self.domain, table_class, runs[table_class]) for table_class in range(5)]
        union: dict[tuple[bytes, int], int] = defaultdict(int)
        for reference in (table.pack for of_class in runs for run in of_class for table in run):
            union[reference.sid, reference.seq] |= 2
        for reference in (pack for rows in self.rows for pack in rows.packs):
            union[reference.sid, reference.seq] |= 1
            self.domain.pack(reference.sid, reference.seq).check(reference, may_be_unknown=True)
        need(dict(union) == point.packs, f"{point.name}: its reference part is not the union of what its tables use")

    def inode(self, node: int) -> Inode:
        row = self.rows[TREE].newest(node.to_bytes(8, "big") + b"\x10")
        need(row, f"node {node} has no inode")
        return decode(row[0], lambda c: read_inode(c, row[1]))

    def entries(self, directory: int) -> Iterator[Entry]:
        for key in self.rows[TREE].of_node(directory, 0x20):
            if row := self.rows[TREE].newest(key):
                entry = decode(row[0], lambda c: read_entry(c, key[9:], row[1]))
                need(entry.node < self.next_node, f"node {entry.node} was never given out")
                yield entry

    def missed(self, directory: int) -> Iterator[tuple[bytes, int, bytes]]:
        for key in self.rows[TREE].of_node(directory, 0x30):
            if row := self.rows[TREE].newest(key):
                what, why = decode(row[0], lambda c: (c.fixed(1), c.bytes(0, 1024)))
                need(1 <= what <= 3, "a Missed row says nothing")
                yield key[9:], what, why

    def check_hints(self) -> None:
        """Rows that no restore needs: handles and segments."""
        for key in self.rows[HANDLE].keys:
            if row := self.rows[HANDLE].newest(key):
                decode(row[0], lambda c: (c.varint(), c.bytes(1, 255)))
        for key in self.rows[SEGMENT].keys:
            if row := self.rows[SEGMENT].newest(key):
                source, blob, offset, length = decode(row[0], lambda c: (c.varint(len(row[1])), c.varint(65535), c.varint(BLOCK), c.varint(BLOCK)))
                need(source >= 1, "a Segment row names no pack")
                content = self.domain.data_blob(row[1][source - 1].sid, row[1][source - 1].seq, blob)[offset:offset + length]
                need(len(content) == length and self.domain.segment_hash(content) == key, "a Segment row names other bytes")

    def block(self, node: int, block: int) -> dict[int, tuple[Extent, int]]:
        """By page of a block: the extent that decides, and the page within its block."""
        pages: dict[int, tuple[Extent, int]] = {}
        key = node.to_bytes(8, "big") + b"\x10" + block.to_bytes(8, "big")
        for cut, body, packs in self.rows[CONTENT].layers(key):
            extents = [Extent(0, BLOCK, None)] if body is None else decode(body, lambda c: read_extents(c, packs))
            for extent in extents:
                for page in extent.pages():
                    if block * BLOCK_PAGES + page < cut:
                        pages.setdefault(page, (extent, page))
        return {page: found for page, found in pages.items() if found[0].pack}

    def signatures(self, node: int, block: int) -> dict[int, int]:
        pages: dict[int, int] = {}
        key = node.to_bytes(8, "big") + b"\x20" + block.to_bytes(8, "big")
        for cut, body, _ in self.rows[SIGN].layers(key):
            named = dict.fromkeys(range(BLOCK_PAGES), 0) if body is None else decode(body, read_sign)
            for page, signature in named.items():
                if block * BLOCK_PAGES + page < cut:
                    pages.setdefault(page, signature)
        return {page: signature for page, signature in pages.items() if signature}

    def content(self, node: int, inode: Inode) -> Iterator[tuple[int, bytes]]:
        """(offset, bytes) of everything that is not zeros, each verified; then what should be whole is known to be."""
        if inode.inline is not None:
            need(inode.size <= BLOCK, f"node {node} is inline and larger than a block")
            whole = assemble(self.domain, inode.inline[1], inode.size)
            expected = max(1, int.from_bytes(self.domain.segment_hash(whole)[:8], "little")) if any(whole) else 0
            need(expected == inode.inline[0], f"node {node}: its content does not have its signature")
            yield from ((at, whole[at:at + PAGE]) for at in range(0, inode.size, PAGE) if any(whole[at:at + PAGE]))
            return
        blocks = sorted({int.from_bytes(key[9:], "big") for rows, tag in ((self.rows[CONTENT], 0x10), (self.rows[SIGN], 0x20))
                         for key in rows.of_node(node, tag) if len(key) == 17 or need(False, "a key of a block is not 17 bytes")})
        signed = {block: self.signatures(node, block) for block in blocks}
        self.check_sum(node, inode, signed)
        for block in blocks:
            yield from self.block_content(node, inode, block, signed[block])

    def block_content(self, node: int, inode: Inode, block: int, signed: dict[int, int]) -> Iterator[tuple[int, bytes]]:
        named = self.block(node, block)
        for page in sorted(named.keys() | signed.keys()):
            at = block * BLOCK + page * PAGE
            stored = extent_page(self.domain, *named[page]) if page in named else b""
            piece = stored.ljust(PAGE, b"\0")[:max(0, inode.size - at)]
            proven = self.domain.signature(piece) == signed.get(page, 0) and at < inode.size
            need(proven or inode.mixed, f"node {node}: the page at {at} does not have its signature or lies behind the end")
            if any(piece):
                yield at, piece

    def check_sum(self, node: int, inode: Inode, signed: dict[int, dict[int, int]]) -> None:
        """Section 7.5: no row of signatures was lost."""
        row = self.rows[CONTENT].newest(node.to_bytes(8, "big") + b"\xf0")
        if row is None:
            need(not any(signed.values()) and (inode.mixed or inode.size == 0), f"node {node} has no Sum")
            return
        count, expected, reached = decode(row[0], lambda c: (c.varint(), c.fixed(16), c.varint()))
        found = [(block * BLOCK_PAGES + page, signature) for block, pages in signed.items() for page, signature in pages.items()]
        hashes = (b3k(self.domain.hashing, b"page" + le(page, 8) + le(signature, 8)) for page, signature in found)
        total = sum(int.from_bytes(value[:16], "little") for value in hashes) % 2**128
        need((len(found), total) == (count, expected), f"node {node}: rows are lost, its Sum differs")
        blocks = -(-inode.size // BLOCK)
        need(reached == blocks or (inode.mixed and reached < blocks), f"node {node}: {reached} of {blocks} blocks were reached")


# ---- Restoring ----

class Restore:
    """Writes a tree below a new directory. Paths go through descriptors, so no name can leave the target."""

    def __init__(self, tree: Tree) -> None:
        self.tree, self.first_paths, self.directories = tree, {}, set()
        self.inodes: dict[int, Inode] = {}

    def run(self, target: Path) -> None:
        os.mkdir(target)
        root = os.open(target, os.O_RDONLY | os.O_DIRECTORY)
        self.directory(root, 1, b"")
        self.attributes(b"/proc/self/fd/%d/." % root, self.tree.inode(1), DIRECTORY)
        os.close(root)
        for node, (path, _) in self.first_paths.items():
            expected, found = self.inodes[node].links, os.lstat(os.path.join(os.fsencode(target), path)).st_nlink
            if found != expected:
                print(f"{path!r} had {expected} links, {found} of them here", file=sys.stderr)

    def directory(self, folder: int, node: int, path: bytes) -> None:
        need(node not in self.directories, f"the directory {path!r} stands in the tree twice")
        self.directories.add(node)
        for name, what, why in self.tree.missed(node):
            print(f"missed: {os.path.join(path, name)!r}: {why.decode()} ({what})", file=sys.stderr)
        for entry in self.tree.entries(node):
            self.entry(folder, entry, os.path.join(path, entry.name))

    def entry(self, folder: int, entry: Entry, path: bytes) -> None:
        place = b"/proc/self/fd/%d/%s" % (folder, entry.name)
        if entry.node in self.first_paths:
            first, kind = self.first_paths[entry.node]
            need(kind == entry.type and entry.inode is None, f"{path!r} and {first!r} are one node but differ")
            source, _ = os.path.split(place)
            os.link(os.path.join(source, *[b".."] * path.count(b"/"), first), place, follow_symlinks=False)
            return
        inode = entry.inode or self.tree.inode(entry.node)
        if entry.type == DIRECTORY:
            os.mkdir(place)
            inner = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            self.directory(inner, entry.node, path)
            os.close(inner)
        else:
            self.first_paths[entry.node], self.inodes[entry.node] = (path, entry.type), inode
            self.create(place, entry, inode)
        self.attributes(place, inode, entry.type)

    def create(self, place: bytes, entry: Entry, inode: Inode) -> None:
        need((entry.type == LINK) == (inode.target is not None), f"{entry.name!r}: a target belongs to a link")
        need((entry.type in (CHARACTER, BLOCK_DEVICE)) == (inode.device is not None), f"{entry.name!r}: a number belongs to a device")
        if entry.type == LINK:
            os.symlink(inode.target or b"", place)
        elif entry.type == REGULAR:
            with open(place, "xb", buffering=BLOCK) as file:
                file.truncate(inode.size)
                for at, piece in self.tree.content(entry.node, inode):
                    if file.tell() != at:
                        file.seek(at)
                    file.write(piece)
        else:
            os.mknod(place, NODE_TYPES[entry.type] | 0o600, os.makedev(*inode.device) if inode.device else 0)

    def attributes(self, place: bytes, inode: Inode, kind: int) -> None:
        os.chown(place, inode.uid, inode.gid, follow_symlinks=False)
        if kind != LINK:
            os.chmod(place, inode.mode)
        for name, value in inode.attributes:
            if isinstance(value, tuple):
                value = assemble(self.tree.domain, value[1], value[0])
            os.setxattr(place, name, value, follow_symlinks=False)
        os.utime(place, ns=(inode.mtime_ns, inode.mtime_ns), follow_symlinks=False)


def choose(points: list[Point], wanted: str) -> Point:
    if wanted == "latest":
        candidates = [point for point in points if point.state == "valid"][-1:]
    else:
        candidates = [point for point in points if point.sid.hex().startswith(wanted)]
    need(len(candidates) == 1, f"{len(candidates)} points are {wanted!r}")
    need(candidates[0].state in ("valid", "retired", "checkpoint"), f"the point {wanted} is {candidates[0].state}")
    return candidates[0]


def main() -> int:
    parser = argparse.ArgumentParser(description="Reads a Holdfast repository, from its document alone.")
    parser.add_argument("repository", type=Path)
    parser.add_argument("--passphrase-file", type=Path, required=True)
    parser.add_argument("--domain", default="default")
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--list", action="store_true")
    action.add_argument("--restore", nargs=2, metavar=("POINT", "TARGET"))
    arguments = parser.parse_args()
    try:
        passphrase = arguments.passphrase_file.read_text().splitlines()[0]
        domain = Domain(Repository(arguments.repository, passphrase), arguments.domain)
        points = list_points(domain)
        for name in domain.repository.names(domain.prefix + "damage/"):
            print(f"{'found damaged' if domain.signed(name) else 'not validly signed'}: {name}", file=sys.stderr)
        if arguments.list:
            for point in points:
                print(point.sid.hex(), point.description["time"], point.description["outcome"], point.state, point.volume)
        else:
            tree = Tree(choose(points, arguments.restore[0]))
            tree.check_hints()
            Restore(tree).run(Path(arguments.restore[1]))
    except (Broken, OSError) as error:
        print(f"holdfast_reader: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
