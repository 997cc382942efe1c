"""Census: everything that a restore must bring back, a line an entry.

In: a directory. Out: type, mode, owner, size, time, content, target, attributes and the other names of each entry, by path. Never: writes, syncs, or follows a link.
"""

import hashlib
import os
import stat


def entries(root, path=b"."):
    """Paths relative to the root, the root itself included."""
    yield path
    with os.scandir(os.path.join(root, path)) as listed:
        for entry in listed:
            below = entry.name if path == b"." else path + b"/" + entry.name
            if entry.is_dir(follow_symlinks=False):
                yield from entries(root, below)
            else:
                yield below


def content(path):
    with open(path, "rb", buffering=0) as file:
        return hashlib.blake2b(file.read(), digest_size=16).hexdigest()


def attributes(path):
    names = sorted(os.listxattr(path, follow_symlinks=False))
    return ",".join(f"{name}={os.getxattr(path, name, follow_symlinks=False).hex()}" for name in names)


def census(root):
    """The lines. Files with several names say which they are."""
    root, lines, names = os.fsencode(root), [], {}
    paths = sorted(entries(root))
    looks = [os.lstat(os.path.join(root, path)) for path in paths]
    for path, look in zip(paths, looks):
        names.setdefault(look.st_ino, []).append(path.decode())
    for path, look in zip(paths, looks):
        full = os.path.join(root, path)
        line = [path.decode(), oct(look.st_mode), f"{look.st_uid}:{look.st_gid}", str(look.st_mtime_ns)]
        if stat.S_ISREG(look.st_mode):
            line += [str(look.st_size), content(full)]
        if stat.S_ISLNK(look.st_mode):
            line.append(os.readlink(full).decode())
        line += ["names=" + ",".join(names[look.st_ino]), attributes(full)]
        lines.append(" ".join(line))
    return lines
