#!/bin/sh
# Mine the recommended negatives as a data set.
set -e
cd "$(dirname "$0")"
echo 'The recommended recipe is linear_projection, which needs no negatives: nothing to mine.'
