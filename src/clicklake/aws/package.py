"""What goes up to the cluster: the code, its Python packages, the bootstrap script, the settings.

Each upload lies under the hash of what it is made of, so equal parts are never sent twice and
a running cluster's parts are never replaced.
"""

from __future__ import annotations

import configparser
import hashlib
import io
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from clicklake.aws.names import Deployment
from clicklake.config import FILES, ROOT, Config
from clicklake.errors import ConfigError

DEPLOY = FILES / "deploy"
REQUIREMENTS = DEPLOY / "requirements-emr.txt"
BOOTSTRAP = DEPLOY / "bootstrap.sh"
CACHE = ROOT / ".cache" / "wheels"

# Of EMR's releases with Spark 4: Python 3.11 on Amazon Linux 2023, whose glibc is 2.34.
PYTHON = "3.11"
GLIBC = range(17, 35)
MACHINES = {"arm64": "aarch64", "x86_64": "x86_64"}

_NOT_FOR_THE_CLUSTER = {"AWS", "S3", "CLUSTER", "SCHEDULE", "STREAM"}


# Folders of the deployment's prefix; in each, the uploads lie under their hash.
UPLOADS = ("code/", "bootstrap/", "config/", "wheels/")
LOCK = "launch.lock"
POINTER = "newest"  # names the uploads that a nightly cluster takes


@dataclass(frozen=True)
class Upload:
    """An object of the code bucket: what it is, its key below the deployment's prefix."""

    what: str
    key: str
    body: bytes | Path


def uploads(config: Config, own: Deployment, architecture: str) -> list[Upload]:
    """Everything that the cluster needs. The wheels' file need not be there yet."""
    code, entry = code_zip(), (FILES / "src" / "scripts" / "etl.py").read_bytes()
    of_code = _hash(code, entry)
    bootstrap = BOOTSTRAP.read_bytes()
    settings = job_config(config, own).encode()
    return [
        Upload("code", f"code/{of_code}/clicklake.zip", code),
        Upload("entry script", f"code/{of_code}/etl.py", entry),
        Upload("bootstrap script", f"bootstrap/{_hash(bootstrap)}/bootstrap.sh", bootstrap),
        Upload("configuration", f"config/{_hash(settings)}/dl.cfg", settings),
        Upload("wheels", _wheels_key(architecture), wheels_file(architecture)),
    ]


def is_upload(own: Deployment, key: str) -> bool:
    """Whether an object of this key, in any bucket of the deployment, was put there by `up`."""
    name, _, below = key.partition("/")
    hashed = rf"({'|'.join(UPLOADS)})[0-9a-f]{{16}}/[^/]+"
    return name == own.name and (below in (LOCK, POINTER) or bool(re.fullmatch(hashed, below)))


def code_zip() -> bytes:
    """The package as a zip: the same bytes from the same files, on any machine and day."""
    package = ROOT / "src" / "clicklake"
    if not package.is_dir():  # installed, not a checkout
        package = Path(__file__).resolve().parents[1]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(package.rglob("*")):
            if path.is_file() and not _is_by_product(path):
                entry = zipfile.ZipInfo(path.relative_to(package.parent).as_posix())
                entry.external_attr = 0o644 << 16
                entry.create_system = 3
                archive.writestr(entry, path.read_bytes())
    return buffer.getvalue()


def _is_by_product(path: Path) -> bool:
    return bool({"__pycache__", "_checkout"} & set(path.parts)) or path.name.startswith(".")


def job_config(config: Config, own: Deployment) -> str:
    """dl.cfg for the cluster: the job's keys, places on S3, and no secret."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str.upper  # type: ignore[assignment, method-assign]
    for section in (field.name for field in fields(Config)):
        values = getattr(config, section)
        if section.upper() in _NOT_FOR_THE_CLUSTER or not hasattr(values, "__dataclass_fields__"):
            continue
        parser[section.upper()] = {
            key.name: _written(getattr(values, key.name)) for key in fields(values) if key.repr
        }
    parser["DATALAKE"]["INPUT_DATA"] = own.input_data
    parser["DATALAKE"]["OUTPUT_DATA"] = own.lake.uri(scheme="s3a")
    parser["CSV"]["FOLDER"] = own.exports
    if own.database:
        parser["CATALOG"] = {"CATALOG": "glue", "DATABASE": own.database}
    text = io.StringIO()
    parser.write(text)
    return text.getvalue()


def _written(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ", ".join(value) if isinstance(value, tuple) else str(value)


def wheels_file(architecture: str) -> Path:
    return CACHE / _wheels_key(architecture).replace("/", "-")


def _wheels_key(architecture: str) -> str:
    """The pins decide what pip brings, so their hash is known before anything is downloaded."""
    platform = " ".join([PYTHON, *_platforms(architecture)]).encode()
    return f"wheels/{_hash(REQUIREMENTS.read_bytes(), platform)}/wheels-{architecture}.tar"


def _platforms(architecture: str) -> list[str]:
    machine = MACHINES[architecture]
    return [f"manylinux2014_{machine}", *(f"manylinux_2_{minor}_{machine}" for minor in GLIBC)]


def build_wheels(architecture: str) -> Path:
    """Download the job's packages for the cluster's Python and processor into one tar file.

    Raises ConfigError with pip's last words if a package has no wheel for it.
    """
    target = wheels_file(architecture)
    if target.exists():
        return target
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        wheels = Path(folder) / "wheels"
        _download(architecture, wheels)
        shutil.copyfile(REQUIREMENTS, wheels / "requirements.txt")
        finished = _tar(wheels, Path(folder) / target.name)
        return finished.replace(target)


def _download(architecture: str, folder: Path) -> None:
    platforms = [f"--platform={name}" for name in _platforms(architecture)]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--only-binary=:all:", "--implementation=cp", "--abi=cp311"]
    command += ["--abi=abi3", "--abi=none", f"--python-version={PYTHON}", *platforms]
    command += [f"--requirement={REQUIREMENTS}", f"--dest={folder}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-3:]
        raise ConfigError(
            f"pip could not download the packages of deploy/{REQUIREMENTS.name} for Python "
            f"{PYTHON} on {architecture}: {' '.join(last)} Check the network and the pins."
        )


def _tar(folder: Path, target: Path) -> Path:
    """The same bytes from the same files: no times, no owners, sorted.

    Names of wheels may be too long for ustar.
    """
    with tarfile.open(target, "w", format=tarfile.GNU_FORMAT) as archive:
        for path in sorted(folder.iterdir()):
            entry = tarfile.TarInfo(f"wheels/{path.name}")
            entry.size = path.stat().st_size
            with path.open("rb") as file:
                archive.addfile(entry, file)
    return target


def _hash(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()[:16]
