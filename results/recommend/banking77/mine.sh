#!/bin/sh
# Mine the recommended negatives as a data set.
set -e
cd "$(dirname "$0")"
nsbench mine data/train --out data/mined --source bm25 --negatives 4 --pick random --shortage pad_random --format n-tuple --range-max 20 "$@"
