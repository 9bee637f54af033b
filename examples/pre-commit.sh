#!/bin/sh
# Git hook: rewards the functions of what is staged and stops the commit when one fell far below its version in HEAD.
# No app, no account, no network: the code is parsed, never executed. Needs a clone of funprm:
#   ln -s ../../path/to/funprm/examples/pre-commit.sh .git/hooks/pre-commit
# Other limits: FUNPRM_FAIL_UNDER=0.2 git commit …; commit without it: git commit --no-verify
set -eu
here=$(dirname "$(readlink -f "$0")")
head=$(git rev-parse --verify --quiet HEAD) || exit 0 # the first commit has nothing to be compared with
# The index as a commit that no branch names: what is reviewed is what would be committed, not the working tree.
staged=$(git commit-tree "$(git write-tree)" -p "$head" -m staged)
npm --prefix "$here/.." run --silent funprm -- review \
  --repo "$(git rev-parse --show-toplevel)" --base "$head" --head "$staged" --fail-under "${FUNPRM_FAIL_UNDER:-0.5}" "$@"
