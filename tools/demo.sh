#!/bin/sh
# The disk fills up while a program writes: what does it do?
set -u
cd "$(dirname "$0")/.."
inject=.venv/bin/inject
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

show() {
    printf '\n\033[1m$ %s\033[0m\n' "$*"
}

# Debian's sqlite3, or the SQLite that is in every Python.
if command -v sqlite3 > /dev/null; then
    client="sqlite3"
else
    client="$(command -v python3.12 || command -v python3) -m sqlite3"
    $client --version > /dev/null 2>&1 || client=""
fi
table="create table t(x); insert into t values(1),(2),(3); select sum(x) from t;"

if [ -n "$client" ]; then
    show "$client test.db \"$table\""
    $client "$folder/plain.db" "$table"
    show "inject run disk-full --seed 7 -- $client test.db \"$table\""
    (cd "$folder" && "$OLDPWD/$inject" run disk-full --seed 7 -- $client test.db "$table")
    status=$?
else
    show "inject run disk-full --seed 7 -- cp /etc/passwd copy"
    (cd "$folder" && "$OLDPWD/$inject" run disk-full --seed 7 -- cp /etc/passwd copy)
    status=$?
fi
cat << END

The program saw a full disk (its exit status: $status), the disk did not.
What next:
  $inject list scenarios            other things that go wrong in the world
  $inject check disk-full           what this one does, in plain words
  $inject run fd-exhaustion -- CMD  your own program, out of file descriptors
  $inject doctor                    what this machine allows
END
