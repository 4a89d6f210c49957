"""Where the lake's state lies, below `_clicklake/`.

`log/<seq>.json`    one entry for every commit, made exclusively: the commit point
`manifest.json`     the present state: live files of every table, and what else belongs to it
`state/<seq>/`      the files that a commit's manifest names, and a copy of the manifest; earlier
                    ones stay for a while
`data/<table>/`     every file of a table that a kept state names; the table's folder has those
                    of the present one, under a second name
`runs/<run_id>/`    what a run reported
`staging/<run_id>/` what a run has written and not yet committed
`replay/<source>/`  repaired rows: files that belong to a source's input
"""

STATE_FOLDER = "_clicklake"
MANIFEST = f"{STATE_FOLDER}/manifest.json"
LOG = f"{STATE_FOLDER}/log"
STATE = f"{STATE_FOLDER}/state"
DATA = f"{STATE_FOLDER}/data"
STAGING = f"{STATE_FOLDER}/staging"
RUNS = f"{STATE_FOLDER}/runs"

# The names of documents.
FORGOTTEN = "forgotten"
RECOMMENDER = "recommender"

# Where format 1 had them.
FIRST_LEDGER = f"{STATE_FOLDER}/ledger.json.gz"
FIRST_DOCUMENTS = {
    FORGOTTEN: f"{STATE_FOLDER}/forgotten.json",
    RECOMMENDER: f"{STATE_FOLDER}/recommender.json",
}


def data(live: str) -> str:
    """Where a table's file stays as long as a state needs it."""
    return f"{DATA}/{live}"


def state(seq: int, name: str) -> str:
    return f"{STATE}/{seq:08d}/{name}"


def metrics(run_id: str) -> str:
    return f"{RUNS}/{run_id}/metrics.json"
