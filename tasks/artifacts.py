"""The artifact store: directories named by the sha256 of what is in them.

    <root>/<kind>/<sha12>/                payload of one artifact, never changed once it is there
    <root>/<kind>/<sha12>.made/<key16>/   how it was made: one folder for each cache key
    <root>/.tmp-*/                        being built; swept at the start of the next run
    <root>/.damaged-*/                    payloads that failed verification, kept for a look

A payload is built under a temporary name, fsynced and renamed, so a reader sees all of it or
none. The folder's name shortens the identity; loading compares the whole.

Omitted on purpose: locking (one run at a time holds var/, flows/locks.py) and deletion of old
artifacts.
"""

import hashlib
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

_CHUNK_BYTES = 1 << 20


class ArtifactError(RuntimeError):
    """An artifact cannot be used as it is; the message names its path."""


class ArtifactMissingError(ArtifactError):
    """The artifact's directory is not there."""


class ArtifactDamagedError(ArtifactError):
    """The payload is not the one that its identity names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactRef:
    """A handle to one artifact: what tasks pass to each other instead of bytes or paths.

    Attributes:
        kind: Name of the stage that makes such artifacts.
        sha256: Identity of the payload, 64 hex digits.
    """

    kind: str
    sha256: str

    def __str__(self) -> str:
        """Short form for people: kind/first 12 digits."""
        return f"{self.kind}/{self.sha256[:12]}"


def file_sha256(path: Path) -> str:
    """Sha256 of one file's bytes, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def payload_files(directory: Path) -> dict[str, str]:
    """The payload's files as {relative path with forward slashes: sha256}, sorted by path."""
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    return {path.relative_to(directory).as_posix(): file_sha256(path) for path in files}


def payload_identity(directory: Path) -> str:
    """Sha256 over the sorted (relative path, sha256) lines of the payload, in hex."""
    lines = (f"{name}\0{sha}\n" for name, sha in sorted(payload_files(directory).items()))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactStore:
    """The store under `root`; directories appear when the first artifact does."""

    root: Path

    def path(self, ref: ArtifactRef) -> Path:
        """Where the payload of `ref` lies, whether it is there or not."""
        return self.root / ref.kind / ref.sha256[:12]

    def made_path(self, ref: ArtifactRef, cache_key: str) -> Path:
        """Where the record of how `ref` was made under this cache key lies."""
        return self.root / ref.kind / f"{ref.sha256[:12]}.made" / cache_key[:16]

    def scratch(self, kind: str) -> Path:
        """A new empty directory on the same file system, for building an artifact."""
        self.root.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=f".tmp-{kind}-", dir=self.root))

    def sweep(self) -> int:
        """Remove what killed runs left half-built. Returns how many directories went."""
        leftovers = sorted(self.root.glob(".tmp-*"))
        for leftover in leftovers:
            shutil.rmtree(leftover)
        return len(leftovers)

    def publish(self, kind: str, payload: Path) -> ArtifactRef:
        """Move a finished payload into the store; equal bytes keep the artifact already there.

        Raises:
            ValueError: The payload holds no file.
        """
        if not any(path.is_file() for path in payload.rglob("*")):
            raise ValueError(f"stage {kind} wrote no payload file into {payload}")
        ref = ArtifactRef(kind=kind, sha256=payload_identity(payload))
        final = self.path(ref)
        if final.exists() and payload_identity(final) != ref.sha256:
            self.set_aside(ref)
        if final.exists():
            shutil.rmtree(payload)
        else:
            _publish_directory(payload, final)
        return ref

    def publish_made(self, ref: ArtifactRef, cache_key: str, made: Path) -> Path:
        """Move the record of how `ref` was made beside its payload, replacing an older one."""
        final = self.made_path(ref, cache_key)
        if final.exists():
            shutil.rmtree(final)
        _publish_directory(made, final)
        return final

    def load(self, ref: ArtifactRef) -> Path:
        """The payload directory of `ref`, verified against the whole identity.

        Raises:
            ArtifactMissingError: No such directory.
            ArtifactDamagedError: Its bytes are not those that `ref` names.
        """
        path = self.path(ref)
        if not path.is_dir():
            raise ArtifactMissingError(f"artifact {ref} is missing: {path} is not there")
        found = payload_identity(path)
        if found != ref.sha256:
            raise ArtifactDamagedError(
                f"artifact {ref} is damaged: {path} hashes to {found[:12]}..., not to its name"
            )
        return path

    def set_aside(self, ref: ArtifactRef) -> Path:
        """Rename a damaged payload out of the way, so that nothing reuses it. Returns where to."""
        aside = Path(tempfile.mkdtemp(prefix=f".damaged-{ref.kind}-", dir=self.root))
        return self.path(ref).rename(aside / ref.sha256[:12])


def _publish_directory(source: Path, final: Path) -> None:
    """Fsync every file and folder of `source`, then rename it to `final` and fsync the parent."""
    final.parent.mkdir(parents=True, exist_ok=True)
    for path in sorted(source.rglob("*")):
        _fsync(path)
    _fsync(source)
    source.rename(final)
    _fsync(final.parent)


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
