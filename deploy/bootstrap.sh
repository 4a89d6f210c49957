#!/bin/bash
# EMR bootstrap action, run on every machine of the cluster: installs the job's Python packages
# from one archive in S3, and puts dl.cfg in place. Needs no internet.
#   $1 address of the wheels' tar   $2 address of dl.cfg   CLICKLAKE_HOME where to put them
#   $1 alone: address of a pointer, which names these two and the code to put beside them
set -euo pipefail

home=${CLICKLAKE_HOME:-/opt/clicklake}
[ -w "$home" ] || sudo install -d -m 755 -o "$(id -un)" "$home"

wheels=$1 configuration=${2:-}
if [ $# = 1 ]; then
    aws s3 cp --only-show-errors "$1" "$home/newest"
    newest() { awk -v what="$1" '$1 == what { print $2 }' "$home/newest"; }
    wheels=$(newest wheels) configuration=$(newest configuration)
    aws s3 cp --only-show-errors "$(newest code)" "$home/clicklake.zip"
    aws s3 cp --only-show-errors "$(newest entry_script)" "$home/etl.py"
fi
aws s3 cp --only-show-errors "$wheels" "$home/wheels.tar"
aws s3 cp --only-show-errors "$configuration" "$home/dl.cfg"
tar -xf "$home/wheels.tar" -C "$home"

# Amazon Linux's packages are on S3 as well.
command -v python3.11 >/dev/null || sudo dnf install --quiet --assumeyes python3.11
python3.11 -m venv "$home/venv"
"$home/venv/bin/pip" install --quiet --disable-pip-version-check --no-index --no-deps \
    --find-links "$home/wheels" --requirement "$home/wheels/requirements.txt"
"$home/venv/bin/pip" check
rm -r "$home/wheels" "$home/wheels.tar"
