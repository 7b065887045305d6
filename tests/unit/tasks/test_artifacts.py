"""The artifact store: identity, atomic publishing, damage."""

from pathlib import Path

import pytest

from tasks.artifacts import (
    ArtifactDamagedError,
    ArtifactMissingError,
    ArtifactRef,
    ArtifactStore,
    payload_identity,
)


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(root=tmp_path / "artifacts")


def publish(store: ArtifactStore, files: dict[str, str]) -> ArtifactRef:
    payload = store.scratch("toy") / "payload"
    for name, text in files.items():
        (payload / name).parent.mkdir(parents=True, exist_ok=True)
        (payload / name).write_text(text)
    return store.publish("toy", payload)


def test_identity_is_of_paths_and_bytes_alone(tmp_path: Path) -> None:
    for name, order in (("one", "ab"), ("two", "ba")):
        for file in order:
            (tmp_path / name).mkdir(exist_ok=True)
            (tmp_path / name / file).write_text(file)
    assert payload_identity(tmp_path / "one") == payload_identity(tmp_path / "two")
    (tmp_path / "two" / "a").rename(tmp_path / "two" / "c")
    assert payload_identity(tmp_path / "one") != payload_identity(tmp_path / "two")


def test_moving_bytes_between_files_changes_the_identity(store: ArtifactStore) -> None:
    assert publish(store, {"a": "12", "b": ""}) != publish(store, {"a": "1", "b": "2"})


def test_equal_bytes_keep_one_artifact(store: ArtifactStore) -> None:
    first = publish(store, {"a": "x"})
    inode = store.path(first).stat().st_ino
    assert publish(store, {"a": "x"}) == first
    assert store.path(first).stat().st_ino == inode


def test_load_compares_the_whole_identity(store: ArtifactStore) -> None:
    """A folder that merely has the right short name must not pass."""
    ref = publish(store, {"a": "x"})
    assert (store.load(ref) / "a").read_text() == "x"
    other = ArtifactRef(kind="toy", sha256=ref.sha256[:12] + "0" * 52)
    with pytest.raises(ArtifactDamagedError, match=str(store.path(ref))):
        store.load(other)


@pytest.mark.parametrize("damage", ["flip", "remove", "add"])
def test_damage_is_noticed_and_never_reused(store: ArtifactStore, damage: str) -> None:
    ref = publish(store, {"a": "x", "b": "y"})
    path = store.path(ref)
    if damage == "flip":
        (path / "a").write_text("z")
    elif damage == "remove":
        (path / "a").unlink()
    else:
        (path / "c").write_text("w")
    with pytest.raises(ArtifactDamagedError):
        store.load(ref)
    assert publish(store, {"a": "x", "b": "y"}) == ref
    assert store.load(ref) == path
    assert len(list(store.root.glob(".damaged-toy-*/*"))) == 1


def test_missing_artifact_names_its_path(store: ArtifactStore) -> None:
    ref = ArtifactRef(kind="toy", sha256="0" * 64)
    with pytest.raises(ArtifactMissingError, match=str(store.path(ref))):
        store.load(ref)


def test_empty_payload_is_refused(store: ArtifactStore) -> None:
    scratch = store.scratch("toy")
    with pytest.raises(ValueError, match="wrote no payload"):
        store.publish("toy", scratch)


def test_sweep_removes_what_killed_runs_left(store: ArtifactStore) -> None:
    ref = publish(store, {"a": "x"})
    store.scratch("toy")
    assert store.sweep() >= 1
    assert not list(store.root.glob(".tmp-*"))
    assert store.load(ref)
