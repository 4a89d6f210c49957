"""What a bucket with versioning keeps of a lake."""

import pytest

import servers
from clicklake.storage import LocalStorage, S3Storage


@pytest.fixture(scope="module")
def client():
    with servers.server("moto") as url, pytest.MonkeyPatch.context() as patch:
        for name, value in servers.environment(url).items():
            patch.setenv(name, value)
        yield servers.client(url)


def bucket(client, name, *, versioned):
    client.create_bucket(Bucket=name)
    if versioned:
        status = {"Status": "Enabled"}
        client.put_bucket_versioning(Bucket=name, VersioningConfiguration=status)
    return S3Storage(name, "lake")


def versions(client, name):
    """[(key, content)] of all versions; a marker has None."""
    found = client.list_object_versions(Bucket=name)
    bodies = [
        (v["Key"], client.get_object(Bucket=name, Key=v["Key"], VersionId=v["VersionId"]))
        for v in found.get("Versions", [])
    ]
    markers = [(marker["Key"], None) for marker in found.get("DeleteMarkers", [])]
    return sorted((key, body["Body"].read()) for key, body in bodies) + markers


@pytest.mark.slow
def test_old_versions_go_and_present_ones_stay(client):
    storage = bucket(client, "versioned", versioned=True)
    for content in (b"1", b"2", b"3"):
        storage.write("kept", content)
        storage.write("gone", content)
        client.put_object(Bucket="versioned", Key="lake-of-others/file", Body=content)
    storage.delete(["gone"])
    storage.write("back", b"1")
    storage.delete(["back"])
    storage.write("back", b"2")
    assert len(versions(client, "versioned")) == 3 + 3 + 1 + 3 + 2 + 1

    assert storage.delete_old_versions() == 2 + 3 + 1

    others = [("lake-of-others/file", content) for content in (b"1", b"2", b"3")]
    kept = [("lake/back", b"2"), ("lake/kept", b"3")]
    assert versions(client, "versioned") == sorted(kept + others)
    assert [info.path for info in storage.list()] == ["back", "kept"]
    assert storage.delete_old_versions() == 0


@pytest.mark.slow
def test_a_bucket_without_versioning_and_a_folder_keep_none(client, tmp_path):
    storage = bucket(client, "plain", versioned=False)
    storage.write("file", b"1")
    storage.write("file", b"2")

    assert storage.delete_old_versions() == 0
    assert storage.read("file") == b"2"
    assert LocalStorage(tmp_path).delete_old_versions() == 0
