"""Operations: one change each, of every kind that Linux knows.

In: words. Out: the change. Never: anything random that the words do not say, and nothing that goes on when an operation has returned; but files stay open, mapped and
dirty.

Paths begin with `in` (what is backed up), `out` (beside it, on the same filesystem), or `bind` (`in`, seen through another mount).
"""

import errno
import fcntl
import os
import random
import stat

import kernel
from kernel import PAGE, Aio, Buffer, Loop, Mapping, Ring

FICLONE, GETFLAGS, SETFLAGS = 0x40049409, 0x80086601, 0x40086602
NODUMP = 0x40
AIO_BYTES = 1 << 20


class Operations:
    def __init__(self):
        self.aio, self.ring, self.buffer = Aio(AIO_BYTES), Ring(AIO_BYTES), Buffer(AIO_BYTES)
        self.held, self.mappings, self.loops, self.registered = {}, {}, {}, set()

    def begin(self, folder, bind):
        self.roots = {"in": folder + "/in", "out": folder + "/out", "bind": bind + "/in"}

    def end(self):
        """Lets go of everything that is open or mapped."""
        for mapping in self.mappings.values():
            mapping.close()
        for fd in self.held.values():
            os.close(fd)
        for loop in self.loops.values():
            loop.close()
        for slot in self.registered:
            self.ring.register(slot, -1)
        self.mappings, self.held, self.loops, self.registered = {}, {}, {}, set()

    def do(self, order, *words):
        words = [int(word) if word.isdigit() else word for word in words]
        if order in kernel.FALLOCATE:
            return self.fallocate(order, *words)
        return getattr(self, "do_" + order)(*words)

    # Where.

    def at(self, path):
        place, _, rest = path.partition("/")
        return f"{self.roots[place]}/{rest}"

    def parent(self, path):
        """The path, with a directory for it to be in."""
        path = self.at(path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return path

    def open(self, path, flags=os.O_RDWR):
        """A file to change: if there is none, it is made, with some content."""
        path = self.parent(path)
        try:
            if not stat.S_ISREG(os.lstat(path).st_mode):
                raise OSError(errno.EINVAL, "not a file")
        except FileNotFoundError:
            with open(path, "xb") as file:
                file.write(bytes_of(17, 3 * PAGE + 17))
        return os.open(path, flags | os.O_NOFOLLOW)

    def target(self, path, flags=os.O_RDWR):
        """A file to change for a moment; `@2` is the file that slot 2 holds open."""
        if isinstance(path, str) and path.startswith("@"):
            slot = int(path[1:])
            if slot not in self.held:
                raise OSError(errno.EBADF, "nothing is held open")
            return Borrowed(self.held[slot])
        return Opened(self.open(path, flags))

    # Content.

    def do_write(self, path, offset, length, seed):
        with self.target(path) as fd:
            os.pwrite(fd, bytes_of(seed, length), offset)

    def do_append(self, path, length, seed):
        with self.target(path, os.O_WRONLY | os.O_APPEND) as fd:
            os.write(fd, bytes_of(seed, length))

    def do_rewrite(self, path, length, seed):
        """All of it, by O_TRUNC."""
        with self.target(path, os.O_WRONLY | os.O_TRUNC) as fd:
            os.write(fd, bytes_of(seed, length))

    def do_unnoticed(self, path, seed):
        """Other content, as long and by its mtime as old as before."""
        with self.target(path) as fd:
            look = os.fstat(fd)
            length = min(look.st_size, 5000)
            offset = seed % (look.st_size - length + 1)
            os.pwrite(fd, bytes_of(seed, length), offset)
            os.utime(fd, ns=(look.st_atime_ns, look.st_mtime_ns))

    def do_direct(self, path, page, pages, seed):
        with self.target(path, os.O_RDWR | os.O_DIRECT) as fd:
            self.buffer.fill(bytes_of(seed, pages * PAGE))
            os.pwrite(fd, memoryview(self.buffer.memory)[: pages * PAGE], page * PAGE)

    def do_splice(self, path, offset, length, seed):
        reader, writer = os.pipe()
        with Opened(reader), Opened(writer), self.target(path) as fd:
            left = os.write(writer, bytes_of(seed, min(length, 60000)))
            while left > 0:
                moved = os.splice(reader, fd, left, offset_dst=offset)
                offset, left = offset + moved, left - moved

    def do_sendfile(self, path, other, length):
        with self.target(other, os.O_RDONLY) as source, self.target(path) as fd:
            os.sendfile(fd, source, 0, length)

    def do_copy(self, path, offset, other, length):
        with self.target(other, os.O_RDONLY) as source, self.target(path) as fd:
            os.copy_file_range(source, fd, length, 0, offset)

    def do_clone(self, path, other):
        with self.target(other, os.O_RDONLY) as source, self.target(path) as fd:
            fcntl.ioctl(fd, FICLONE, source)

    def fallocate(self, mode, path, page, pages):
        with self.target(path) as fd:
            # Ranges of bytes where pages are not asked for.
            uneven = 0 if mode in ("collapse", "insert") else 77
            kernel.fallocate(fd, mode, page * PAGE + uneven, pages * PAGE)

    def do_truncate(self, path, size):
        os.close(self.open(path))
        os.truncate(self.at(path), size)

    def do_ftruncate(self, path, size):
        with self.target(path) as fd:
            os.ftruncate(fd, size)

    # Mappings: a number for each, the file is closed or stays open.

    def do_map(self, slot, path, pages):
        if slot in self.mappings:
            self.mappings.pop(slot).close()
        with self.target(path) as fd:
            if os.fstat(fd).st_size == 0:
                os.pwrite(fd, bytes_of(slot, 2 * PAGE), 0)
            self.mappings[slot] = Mapping(fd, pages * PAGE)

    def mapping(self, slot):
        if slot not in self.mappings:
            raise OSError(errno.EBADF, "nothing is mapped")
        return self.mappings[slot]

    def do_store(self, slot, page, seed):
        mapping = self.mapping(slot)
        mapping.store(page % max(1, mapping.pages()) * PAGE + seed % 4000, bytes_of(seed, 16))

    def do_stores(self, slot, page, seed):
        """To a page and the next one, which may be in the same folio."""
        self.do_store(slot, page, seed)
        self.do_store(slot, page + 1, seed + 1)

    def do_msync(self, slot, how):
        self.mapping(slot).sync(how)

    def do_unmap(self, slot):
        self.mapping(slot)
        self.mappings.pop(slot).close()

    # Files that stay open.

    def do_hold(self, slot, path):
        fd = self.open(path)
        if slot in self.held:
            os.close(self.held[slot])
        self.held[slot] = fd

    def do_release(self, slot):
        if slot not in self.held:
            raise OSError(errno.EBADF, "nothing is held open")
        os.close(self.held.pop(slot))

    def do_fsync(self, path):
        with self.target(path) as fd:
            os.fsync(fd)

    # Asynchronous writes.

    def do_aio(self, path, offset, length, seed):
        with self.target(path) as fd:
            self.aio.write(fd, bytes_of(seed, length), offset)

    def do_aiodirect(self, path, page, pages, seed):
        with self.target(path, os.O_RDWR | os.O_DIRECT) as fd:
            self.aio.write(fd, bytes_of(seed, pages * PAGE), page * PAGE)

    def do_register(self, slot, path):
        """A file for the ring, whose descriptor is closed."""
        with self.target(path) as fd:
            self.ring.register(slot, fd)
            self.registered.add(slot)

    def do_ring(self, slot, offset, length, seed):
        self.ring.write(slot, bytes_of(seed, length), offset)

    def do_loop(self, slot, path):
        """A loop device on a file, as long as no other has its place."""
        if slot in self.loops:
            self.loops.pop(slot).close()
        with self.target(path) as fd:
            kernel.fallocate(fd, "reserve", 0, 16 * PAGE)
            self.loops[slot] = Loop(fd)

    def do_loopwrite(self, slot, page, seed):
        if slot not in self.loops:
            raise OSError(errno.EBADF, "no loop device")
        self.loops[slot].write(bytes_of(seed, PAGE), page * PAGE)

    # Metadata.

    def do_chmod(self, path, mode):
        os.chmod(self.at(path), mode)

    def do_chown(self, path, owner):
        os.chown(self.at(path), owner, owner + 1, follow_symlinks=False)

    def do_setxattr(self, path, name, length, seed):
        os.setxattr(self.at(path), f"user.{name}", bytes_of(seed, length))

    def do_removexattr(self, path, name):
        os.removexattr(self.at(path), f"user.{name}")

    def do_utime(self, path, seconds):
        os.utime(self.at(path), ns=(0, seconds * 10**9 + 123456789), follow_symlinks=False)

    def do_chattr(self, path):
        with Opened(os.open(self.at(path), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)) as fd:
            flags = int.from_bytes(fcntl.ioctl(fd, GETFLAGS, bytes(8))[:4], "little")
            fcntl.ioctl(fd, SETFLAGS, (flags ^ NODUMP).to_bytes(8, "little"))

    # Names.

    def do_create(self, path):
        os.close(os.open(self.parent(path), os.O_WRONLY | os.O_CREAT | os.O_EXCL))

    def do_mkdir(self, path):
        os.mkdir(self.parent(path))

    def do_rmdir(self, path):
        os.rmdir(self.at(path))

    def do_fifo(self, path):
        os.mkfifo(self.parent(path))

    def do_symlink(self, path, text):
        os.symlink(text, self.parent(path))

    def do_link(self, path, other):
        os.link(self.at(path), self.parent(other), follow_symlinks=False)

    def do_unlink(self, path):
        os.unlink(self.at(path))

    def do_rename(self, path, other):
        os.rename(self.at(path), self.parent(other))

    do_move = do_rename

    def do_exchange(self, path, other):
        kernel.exchange(self.at(path), self.at(other))

    do_turn = do_exchange

    def do_unnamed(self, path, length, seed):
        """A file that has no name until it has content."""
        path = self.parent(path)
        with Opened(os.open(os.path.dirname(path), os.O_TMPFILE | os.O_RDWR, 0o600)) as fd:
            os.pwrite(fd, bytes_of(seed, length), 0)
            with Opened(os.open("/proc/self/fd", os.O_RDONLY)) as open_files:
                os.link(str(fd), path, src_dir_fd=open_files, follow_symlinks=True)

    def do_twins(self, path, other, seed):
        """Two files that differ in nothing but their content and what they are: made in one tick of the clock, as long as each other."""
        files = [open(self.parent(name), "xb", buffering=0) for name in (path, other)]
        for number, file in enumerate(files):
            file.write(bytes_of(seed + number, 4000))
            file.close()

    def do_again(self, path, seed):
        """The name goes to another file: as long as the old one, as old, and often with its inode number."""
        path = self.at(path)
        look = os.lstat(path)
        if not stat.S_ISREG(look.st_mode):
            raise OSError(errno.EINVAL, "no file")
        os.unlink(path)
        with open(path, "xb", buffering=0) as file:
            file.write(bytes_of(seed, look.st_size))
        os.utime(path, ns=(look.st_atime_ns, look.st_mtime_ns))


class Opened:
    """A descriptor, closed at the end."""

    def __init__(self, fd):
        self.fd = fd

    def __enter__(self):
        return self.fd

    def __exit__(self, *_):
        os.close(self.fd)


class Borrowed(Opened):
    """One that stays open."""

    def __exit__(self, *_):
        pass


def bytes_of(seed, length):
    return random.Random(seed).randbytes(length)
