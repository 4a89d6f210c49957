"""A key in dl.cfg goes into signatures and nowhere else."""

from __future__ import annotations

import gzip
import json
import logging

import pytest

from aws_laptop import now

pytest_plugins = ["aws_fixtures"]

KEY_ID = "AKIACANARYCANARYCANA"
SECRET = "canary/Secret+0123456789abcdefghijklmnop"


@pytest.mark.slow
def test_a_key_of_the_configuration_is_never_sent_shown_or_logged(laptop, caplog):
    caplog.set_level(logging.INFO)
    laptop.settings["AWS"] = {"AWS_ACCESS_KEY_ID": KEY_ID, "AWS_SECRET_ACCESS_KEY": SECRET}
    laptop.settings["JOB"] = {"SESSION_GAP_MINUTES": 30}
    laptop.server.recorded()
    texts = [laptop.deploy("plan").text, laptop.deploy("up", "--detach", "--json").text]
    log = {"Key": "logs/x", "Body": gzip.compress(b"log")}
    laptop.client("s3").put_object(Bucket="clicklake-lake-123456789012-us-east-1", **log)
    laptop.ticks = [now("TERMINATED", "FAILED")]
    for verb in ("up", "status", "logs", "down"):
        texts.append(laptop.deploy(verb).text)
    laptop.settings["AWS"]["AWS_SECRET_ACCESS_KEY"] = SECRET + "\n  odd"
    texts.append(laptop.deploy("plan").text)

    requests = laptop.server.recorded()
    assert len(requests) > 100
    assert KEY_ID in json.dumps(requests)  # as the signature's credential
    for request in requests:
        request["headers"].pop("AUTHORIZATION", None)
    everything = json.dumps(requests) + "".join(texts) + caplog.text
    assert SECRET not in everything
    assert KEY_ID not in everything
    stored = laptop.server.run(
        "from moto.s3.models import s3_backends\n"
        "result = [key.value.decode('latin-1') for a in s3_backends.values() for b in a.values()"
        " for bucket in b.buckets.values() for key in bucket.keys.values()]"
    )
    assert not [body for body in stored if SECRET in body or KEY_ID in body]


def test_the_key_of_the_configuration_beats_the_environments(laptop):
    laptop.settings["AWS"] = {"AWS_ACCESS_KEY_ID": KEY_ID, "AWS_SECRET_ACCESS_KEY": SECRET}
    laptop.server.recorded()
    laptop.deploy("status")
    signed = [each["headers"]["AUTHORIZATION"] for each in laptop.server.recorded()]
    assert signed
    assert all(KEY_ID in each for each in signed)
