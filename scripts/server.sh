#!/usr/bin/env bash
# A tracking server for a team: `mlflow server` on PostgreSQL, with all data in one folder. Ctrl-C stops both.
#
# These environment variables are its options, with their defaults:
#   SERVER_PORT=5000  SERVER_HOST=127.0.0.1  SERVER_DATA=.cache/server  SERVER_WORKERS=4  PYTHON=.venv/bin/python
set -euo pipefail
cd "$(dirname "$0")/.."
data=$(realpath -m "${SERVER_DATA:-.cache/server}")
python=${PYTHON:-.venv/bin/python}

refuse() {
    echo "server: $*" >&2
    exit 2
}

PATH=$PATH:$(printf '%s\n' /usr/lib/postgresql/*/bin | sort -V | tail -n 1) # Debian installs initdb and pg_ctl there
for tool in initdb pg_ctl; do
    command -v "$tool" >/dev/null || refuse "$tool not found; apt-get install postgresql"
done
"$python" -c 'import psycopg' 2>/dev/null || refuse "psycopg is not installed; pip install '.[postgres]'"

mkdir -p "$data/postgres" "$data/artifacts"
exec 9>"$data/lock"
flock --nonblock 9 || refuse "$data: in use by another server"

as_postgres=()
if [ "$(id -u)" = 0 ]; then # PostgreSQL refuses to run as root
    id postgres >/dev/null 2>&1 || refuse "user postgres not found; apt-get install postgresql"
    as_postgres=(runuser -u postgres --)
    chown postgres "$data/postgres"
    (cd / && "${as_postgres[@]}" test -w "$data/postgres") ||
        refuse "$data: user postgres cannot reach it; choose another folder: SERVER_DATA=/srv/descent-lab"
fi
database() { (cd / && "${as_postgres[@]}" "$@" 9>&-); }

socket=$(mktemp -d /tmp/descent-lab.XXXXXX) # a short path, as the path of a socket must not exceed 107 characters
server=
stop() {
    [ -z "$server" ] || { kill -- "-$server" && wait "$server"; } 2>/dev/null || true
    database pg_ctl --pgdata "$data/postgres" --mode fast --silent stop || true
    rm -rf "$socket"
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

if [ ! -e "$data/postgres/PG_VERSION" ]; then
    database initdb --pgdata "$data/postgres" --username mlflow --auth trust --encoding UTF8 >"$data/initdb.log"
elif database pg_ctl --pgdata "$data/postgres" status >/dev/null; then # PostgreSQL still runs, because the server was killed
    database pg_ctl --pgdata "$data/postgres" --mode fast --silent stop
fi
touch "$data/postgres.log"
[ "$(id -u)" != 0 ] || chown postgres "$data/postgres.log" "$socket" # only this user may open the folder
database pg_ctl --pgdata "$data/postgres" --log "$data/postgres.log" --silent --wait \
    --options "-k $socket -c listen_addresses=''" start

export MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false # the harness does not use it, and it takes ten processes
setsid "$python" -m mlflow server --host "${SERVER_HOST:-127.0.0.1}" --port "${SERVER_PORT:-5000}" \
    --workers "${SERVER_WORKERS:-4}" --backend-store-uri "postgresql+psycopg://mlflow@/postgres?host=$socket" \
    --serve-artifacts --artifacts-destination "$data/artifacts" 9>&- &
server=$!
wait "$server"
