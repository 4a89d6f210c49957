"""Keys of `dl.cfg`, for both engines and boto3."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

from clicklake.config import Aws


def use_keys(aws: Aws) -> None:
    """Make keys of `dl.cfg` known to both engines and to boto3.

    They go into a private credentials file, whose path alone is in the environment: keys in the
    environment would show in listings of processes and of Spark's settings.
    """
    if not aws.aws_access_key_id:
        return
    folder = Path(tempfile.mkdtemp(prefix="clicklake-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    file = folder / "credentials"
    file.touch(mode=0o600)
    file.write_text(
        "[default]\n"
        f"aws_access_key_id = {aws.aws_access_key_id}\n"
        f"aws_secret_access_key = {aws.aws_secret_access_key}\n"
    )
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        os.environ.pop(name, None)
    os.environ["AWS_SHARED_CREDENTIALS_FILE"] = str(file)
