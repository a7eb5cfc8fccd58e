"""Content Credentials are repeated, checked offline, and never believed."""

from __future__ import annotations

import io
import shutil
import subprocess
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from picture_files import encoded

from ftsdk.errors import AnalysisCancelledError
from ftsdk.imaging import isolation
from ftsdk.imaging.decode import decode
from ftsdk.imaging.isolation import DecoderPool
from ftsdk.report.credentials import read_credentials
from ftsdk.stopwatch import Stopwatch

c2pa = pytest.importorskip("c2pa", reason="c2pa-python is not installed (extra c2pa)")

_EXTENSIONS = """basicConstraints=critical,CA:FALSE
keyUsage=critical,digitalSignature
extendedKeyUsage=critical,emailProtection
subjectKeyIdentifier=hash
authorityKeyIdentifier=keyid
"""
_CREATED = {
    "action": "c2pa.created",
    "digitalSourceType": "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia",
}
_MANIFEST = {
    "claim_generator_info": [{"name": "<i>Camera</i>", "version": "1"}],
    "title": "a picture",
    "format": "image/jpeg",
    "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [_CREATED]}}],
}


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A JPEG signed by nobody whom anybody knows."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("signer")
    _make_certificates(folder)
    chain = (folder / "leaf.pem").read_bytes() + (folder / "ca.pem").read_bytes()
    key = (folder / "leaf.key").read_bytes()
    info = c2pa.C2paSignerInfo(c2pa.C2paSigningAlg.ES256, chain, key, None)
    out = io.BytesIO()
    with c2pa.Signer.from_info(info) as signer, c2pa.Builder(_MANIFEST) as builder:
        builder.sign(signer, "image/jpeg", io.BytesIO(encoded("jpeg")), out)
    return out.getvalue()


def _make_certificates(folder: Path) -> None:
    (folder / "extensions").write_text(_EXTENSIONS)
    for command in (
        "ecparam -name prime256v1 -genkey -noout -out ca.key",
        "req -x509 -new -key ca.key -days 9 -subj /CN=Tests -out ca.pem "
        "-addext keyUsage=critical,keyCertSign",
        "ecparam -name prime256v1 -genkey -noout -out raw.key",
        "pkcs8 -topk8 -nocrypt -in raw.key -out leaf.key",
        "req -new -key leaf.key -subj /O=News/CN=<b>Ada -out leaf.csr",
        "x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 9 "
        "-extfile extensions -out leaf.pem",
    ):
        subprocess.run(["openssl", *command.split()], cwd=folder, check=True, capture_output=True)


def test_a_signed_picture_shows_signer_claims_and_doubts(signed: bytes) -> None:
    found = read_credentials(signed)
    facts = dict(found.facts)
    assert found.state == "present"
    assert facts["Signed by"] == "<b>Ada"
    assert facts["Made with"] == "<i>Camera</i> 1"
    assert facts["Actions claimed"] == "created (trainedAlgorithmicMedia)"
    assert "no trust list" in facts["Problems found"]


def test_a_picture_changed_after_signing_is_told(signed: bytes) -> None:
    changed = bytearray(signed)
    changed[-200] ^= 1
    facts = dict(read_credentials(bytes(changed)).facts)
    assert facts["Signature check"] == "Invalid"
    assert "changed after it was signed" in facts["Problems found"]


def test_no_credentials_say_nothing() -> None:
    found = read_credentials(encoded("jpeg"))
    assert found.state == "none"
    assert "nothing about manipulation" in found.note
    assert read_credentials(b"no picture").state == "unreadable"


def test_another_process_reads_the_same(signed: bytes) -> None:
    with closing(DecoderPool()) as pool:
        for data in (signed, encoded("jpeg"), b"no picture"):
            assert pool.credentials(data, Stopwatch()) == read_credentials(data)
        assert decode(signed, file_decoder=partial(pool.decode, watch=Stopwatch())).width == 128


def test_what_ends_the_other_process_makes_them_unreadable(
    signed: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(isolation, "CPU_SECONDS", 0)
    monkeypatch.setattr(isolation, "WALL_SECONDS", 0.01)
    with closing(DecoderPool()) as pool:
        found = pool.credentials(signed, Stopwatch())
        assert found.state == "unreadable"
        with pytest.raises(AnalysisCancelledError):
            pool.credentials(signed, Stopwatch(timeout=0))
