"""Packs on an S3 server of this machine, through s3fs."""

from __future__ import annotations

import pytest
import s3fs
from moto.server import ThreadedMotoServer

from audio_dcls.data.manifest_reader import load_manifest
from audio_dcls.data.packing.packer import pack
from audio_dcls.data.packing.plan import PackSettings
from audio_dcls.data.packing.verify import verify_pack
from audio_dcls.data.stores.codec import Codec
from audio_dcls.data.stores.reader import read_row
from audio_dcls.data.stores.store import Store
from audio_dcls.errors import ManifestError

SETTINGS = PackSettings(Codec.flac, sample_rate_hz=8000, rows_per_shard=6)


@pytest.fixture(scope="module")
def endpoint():
    """Address of the server."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def address(endpoint, monkeypatch, tmp_path):
    """A new bucket, reached as users reach theirs: by boto's environment variables."""
    monkeypatch.setenv("AUDIO_DCLS_CACHE", str(tmp_path / "cache"))
    for name, value in {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": endpoint,
    }.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    bucket = tmp_path.name.replace("_", "-").lower()[:60]
    s3fs.S3FileSystem().mkdir(bucket)
    yield f"s3://{bucket}/packs/made"
    s3fs.S3FileSystem.clear_instance_cache()


def test_a_pack_on_s3(address, corpus, packs):
    result = pack(corpus, address, SETTINGS, num_workers=2)
    assert result.info.num_rows == 28
    assert verify_pack(address).faults == ()
    store, local = Store(address), packs(Codec.flac)
    assert store.names() == Store(local).names()
    for name in store.names():
        assert store.read(name) == (local / name).read_bytes()
    manifest = load_manifest(address, corpus.labels)
    clip = manifest.clips[27]
    assert read_row(clip.path, clip.row) is not None
    assert [path.name for path in (manifest.table.folder / "data").glob("*.parquet")] == [clip.path.name]
    store.remove("data/train-00001-of-00004.parquet")
    assert pack(corpus, address, SETTINGS).num_shards_kept == 4
    assert verify_pack(address).faults == ()


def test_mistakes_on_s3(address, corpus):
    with pytest.raises(ManifestError, match="neither a pack nor Parquet"):
        load_manifest(address, corpus.labels)
    with pytest.raises(ManifestError, match=r"pack\.json' does not exist"):
        verify_pack(address)


@pytest.mark.parametrize("wrong", ["endpoint", "bucket", "credentials"])
def test_a_store_that_cannot_be_reached_is_one_error(address, monkeypatch, wrong):
    s3fs.S3FileSystem.clear_instance_cache()
    place = address
    if wrong == "endpoint":
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    elif wrong == "bucket":
        place = "s3://no-such-bucket/pack"
    else:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.delenv(name)
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    store = Store(place)
    with pytest.raises(ManifestError, match=r"'s3://.*check"):
        store.read("pack.json")
    if wrong != "bucket":  # one is made where it may be
        with pytest.raises(ManifestError, match=r"'s3://.*check"):
            store.write("a.txt", b"hello")
        with pytest.raises(ManifestError, match=r"'s3://.*check"):
            store.names()
