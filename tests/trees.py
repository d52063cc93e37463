"""What lies in a folder, for comparisons that name the files which differ."""

from __future__ import annotations

import hashlib
from pathlib import Path


def digests(folder: Path | str) -> dict[str, str]:
    """Digest of every file below a folder by its name."""
    root = Path(folder)
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }
