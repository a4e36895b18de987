"""Translation of the operating system's errors into those of storage."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from pilotext.errors import (
    DeniedError,
    ExistsError,
    NoSpaceError,
    NotFoundError,
    StorageError,
    TransientError,
    UnsupportedError,
)

# EFBIG is the batch system's limit on the size of a file (ulimit -f), which is a kind of quota. The network file
# systems of worker nodes answer with the transient ones while their server is away.
BY_ERRNO: dict[int, type[StorageError]] = {
    **dict.fromkeys((errno.ENOENT, errno.ENOTDIR), NotFoundError),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), DeniedError),
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), NoSpaceError),
    **dict.fromkeys((errno.EEXIST, errno.EISDIR, errno.ENOTEMPTY), ExistsError),
    **dict.fromkeys((errno.EXDEV, errno.ENOTSUP, errno.ENAMETOOLONG), UnsupportedError),
    **dict.fromkeys(
        (errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EAGAIN, errno.EBUSY, errno.ENOTCONN, errno.EHOSTDOWN),
        TransientError,
    ),
    # A connection that was refused or broke.
    **dict.fromkeys((errno.ECONNREFUSED, errno.ECONNRESET, errno.ECONNABORTED, errno.EPIPE), TransientError),
    **dict.fromkeys((errno.ENETDOWN, errno.ENETUNREACH, errno.EHOSTUNREACH), TransientError),
}


def from_os_error(error: OSError, url: str) -> StorageError:
    """The storage error for an error of the system."""
    return BY_ERRNO.get(error.errno or 0, StorageError)(url, error.strerror or str(error))


@contextmanager
def translated(url: str) -> Iterator[None]:
    """Raises every OSError of its block as the storage error about `url`."""
    try:
        yield
    except OSError as error:
        raise from_os_error(error, url) from error
