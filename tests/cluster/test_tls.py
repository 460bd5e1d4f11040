"""A scheduler with TLS works for those who have its certificate, and for nobody else."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from distributed import Client, Security

from mfbench.benchmarks.harness.executors.cluster.executor import DaskExecutor
from mfbench.benchmarks.harness.executors.cluster.places import RunningScheduler, ThisMachine, security_of
from mfbench.mfcore.errors import ConfigError
from tests.contracts.executor import jobs_of, square, values


def certificate(folder: Path) -> Security:
    """A certificate that is its own authority, made as the docs say."""
    folder.mkdir()
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=mfbench"]
    subprocess.run([*command, "-keyout", "key.pem", "-out", "cert.pem"], cwd=folder, check=True, capture_output=True)
    cert, key = str(folder / "cert.pem"), str(folder / "key.pem")
    found = security_of(cert, cert, key)
    assert found is not None
    assert found.require_encryption
    assert found.tls_client_cert == found.tls_worker_cert == found.tls_scheduler_cert == cert
    return found


@pytest.fixture(scope="module")
def encrypted(quick_workers: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Security]]:
    """Address of a scheduler with one worker, and what opens it."""
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl here")
    security = certificate(tmp_path_factory.mktemp("tls") / "mine")
    with ThisMachine(1, security=security).workers(1) as workers:
        yield workers.address, security


def test_runs_go_through_tls(encrypted: tuple[str, Security]) -> None:
    address, security = encrypted
    assert address.startswith("tls://127.0.0.1:")
    assert values(list(DaskExecutor(RunningScheduler(address, security)).run(jobs_of(square, 2, 3)))) == {0: 4, 1: 9}


def test_others_are_refused(encrypted: tuple[str, Security], tmp_path: Path) -> None:
    address, _ = encrypted
    plain = RunningScheduler(address.replace("tls://", "tcp://"))
    stranger = RunningScheduler(address, certificate(tmp_path / "other"))
    for place in (plain, stranger):
        with pytest.raises(ConfigError, match="no Dask scheduler has answered there"):
            list(DaskExecutor(place, patience_s=3.0).run(jobs_of(square, 2)))
    with pytest.raises((OSError, TypeError)):
        Client(address, timeout=3, set_as_default=False)  # without a certificate


def test_files_that_are_no_certificates_are_refused_before_anybody_is_asked(tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl here")
    for name in ("one", "two"):
        certificate(tmp_path / name)
    mine, key = str(tmp_path / "one" / "cert.pem"), str(tmp_path / "two" / "key.pem")
    (tmp_path / "junk.pem").write_text("junk")
    with pytest.raises(ConfigError, match=r"--tls-ca-file .*junk\.pem: expected a certificate"):
        security_of(str(tmp_path / "junk.pem"), mine, str(tmp_path / "one" / "key.pem"))
    with pytest.raises(
        ConfigError, match=r"--tls-cert .*--tls-key .*: expected a certificate in PEM form and its own key"
    ):
        security_of(mine, mine, key)
