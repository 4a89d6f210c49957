#!/usr/bin/env bash
# Fetch the jars of a Kafka broker (54 MB) into .cache/kafka; needs mvn. Does nothing the second time.
set -euo pipefail
cd "$(dirname "$0")/../../.."
if [ -f .cache/kafka/complete ]; then exit 0; fi
mvn --batch-mode --quiet -f tests/support/kafka/pom.xml dependency:copy-dependencies \
  -DincludeScope=runtime -DoutputDirectory="$PWD/.cache/kafka"
touch .cache/kafka/complete
