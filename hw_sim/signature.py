"""Which executables in a build/ are this user's own: a signature that a stranger's folder cannot bring along."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import tempfile
from pathlib import Path

SIZE = 32


def cache() -> Path | None:
    """The user's folder for what is kept between runs; None where it cannot be written, or by others too."""
    try:
        home = os.environ.get("XDG_CACHE_HOME")
        folder = (Path(home) if home else Path.home() / ".cache") / "shiftwright"
        folder.mkdir(parents=True, exist_ok=True)
        # What lies here is linked and run: it must be nobody's but ours.
        found = folder.stat()
        return folder if found.st_uid == os.getuid() and not found.st_mode & 0o022 else None
    except (OSError, RuntimeError):
        return None


def signed(key: str, made: Path) -> str:
    """The signature of the file `made`, which was built from what `key` stands for; empty where there can be none."""
    secret = _secret()
    if secret is None:
        return ""
    try:
        with made.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""
    return hmac.new(secret, f"{key}\0{digest}".encode(), "sha256").hexdigest()


def _secret() -> bytes | None:
    folder = cache()
    if folder is None:
        return None
    path = folder / "signing-key"
    try:
        if not path.is_file() or path.stat().st_size != SIZE:
            with tempfile.NamedTemporaryFile(dir=folder, prefix=".signing-key.", delete=False) as file:
                file.write(secrets.token_bytes(SIZE))
            Path(file.name).replace(path)
        found = path.read_bytes()
    except OSError:
        return None
    return found if len(found) == SIZE and not path.stat().st_mode & 0o077 else None
