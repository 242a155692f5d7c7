# shellcheck shell=bash
# PostgreSQL for shell tests: one cluster a test file, under $WORK, on a Unix socket alone. Sourced after common.sh.
# Use: postgres_start; postgres_database NAME; then $POSTGRES_URL/NAME is what `psql` and [ledger] url take.

# postgres_bin COMMAND…: one of the server's own programs.
postgres_bin() {
    local name=$1 dir
    shift
    for dir in /usr/lib/postgresql/*/bin; do [ -x "$dir/$name" ] && break; done
    if [ "$(id -u)" = 0 ]; then (cd / && exec runuser -u postgres -- "$dir/$name" "$@"); else "$dir/$name" "$@"; fi
}

# postgres_start: a cluster, then its server, which is no child of ours: postgres_stop, or the end of the test, ends it. The cluster is
# a copy of one that the first test makes and leaves in the build's folder: initdb takes longer than many a test.
# shellcheck disable=SC2119 # the arguments are for one test
postgres_start() {
    local kept
    need runuser /usr/lib/postgresql
    kept=$PC_BUILD/tests/postgres-$({ cat "$PC_SOURCE/tests/lib/postgres.sh" && postgres_bin postgres -V; } | sha256sum | head -c 16).tar
    POSTGRES_DIR=$WORK/postgres
    export POSTGRES_DIR POSTGRES_USER=plantca
    POSTGRES_URL=postgresql://plantca@%2F${POSTGRES_DIR//\//%2F}
    export POSTGRES_URL
    mkdir -p "$POSTGRES_DIR"
    [ "$(id -u)" = 0 ] && chown postgres "$POSTGRES_DIR"
    if [ -e "$kept" ] && tar -C "$POSTGRES_DIR" -xf "$kept"; then
        postgres_run
        return
    fi
    rm -rf "$POSTGRES_DIR/data"
    # Written beside it: tests run side by side, and a rename between two file systems would show the others a half.
    postgres_make && mkdir -p "${kept%/*}" && tar -C "$POSTGRES_DIR" -cf "$kept.$$" data && mv "$kept.$$" "$kept" && postgres_run
}

# postgres_make: a cluster by initdb, with the ledger's role, an empty database and words for tests in it; not running.
# shellcheck disable=SC2119 # as above
postgres_make() {
    postgres_bin initdb --no-sync --wal-segsize=1 -D "$POSTGRES_DIR/data" -A trust -E UTF8 --no-locale -U postgres \
        >"$POSTGRES_DIR/initdb.log" 2>&1 || {
        sed 's/^/# /' "$POSTGRES_DIR/initdb.log" >&2
        return 1
    }
    postgres_run && postgres_sql postgres "CREATE ROLE plantca LOGIN" && postgres_words && postgres_sql postgres "CREATE DATABASE spare OWNER plantca" &&
        postgres_stop
}

# postgres_words: words of SQLite for what tests ask, in every database that is made from here on.
postgres_words() {
    # shellcheck disable=SC2016 # PostgreSQL's
    postgres_sql template1 'CREATE FUNCTION public.hex(bytea) RETURNS text IMMUTABLE LANGUAGE sql AS $$ SELECT upper(encode($1, $e$hex$e$)) $$;
        CREATE AGGREGATE public.group_concat(text, text) (sfunc = string_agg_transfn, stype = internal, finalfunc = string_agg_finalfn);
        CREATE FUNCTION public.joined(text, text) RETURNS text LANGUAGE sql AS $$ SELECT concat_ws($e$,$e$, $1, $2) $$;
        CREATE AGGREGATE public.group_concat(text) (sfunc = public.joined, stype = text);
        CREATE FUNCTION public.json_extract(line text, VARIADIC paths text[]) RETURNS text IMMUTABLE LANGUAGE sql AS $$
            SELECT CASE WHEN cardinality(paths) = 1 THEN line::json ->> substr(paths[1], 3)
                ELSE (SELECT $e$[$e$ || string_agg((line::json -> substr(path, 3))::text, $e$,$e$ ORDER BY n) || $e$]$e$
                    FROM unnest(paths) WITH ORDINALITY AS p (path, n)) END $$'
}

# shellcheck disable=SC2120 # as below
# postgres_run [SERVER-OPTION…]: starts the server that postgres_start made, or starts it again.
postgres_run() {
    postgres_bin pg_ctl -D "$POSTGRES_DIR/data" -o "-k $POSTGRES_DIR -c listen_addresses='' -c max_connections=40 $*" \
        -l "$POSTGRES_DIR/data/server.log" -w -s start || return 1
    PIDS+=("$(head -1 "$POSTGRES_DIR/data/postmaster.pid")")
}

# shellcheck disable=SC2120 # as below
# postgres_stop [MODE]: fast (connections are cut), or immediate (as if its machine lost power).
postgres_stop() {
    local pid i
    pid=$(head -1 "$POSTGRES_DIR/data/postmaster.pid")
    postgres_bin pg_ctl -D "$POSTGRES_DIR/data" -m "${1:-fast}" -w -s stop || return 1
    for i in "${!PIDS[@]}"; do [ "${PIDS[i]}" != "$pid" ] || unset "PIDS[i]"; done
}

# postgres_sql DATABASE SQL: as the server's superuser; prints rows, unaligned.
postgres_sql() { psql -X -q -At -v ON_ERROR_STOP=1 -h "$POSTGRES_DIR" -U postgres -d "$1" -c "$2"; }

# postgres_database NAME: an empty database that the ledger's role owns. The first is there already, under another name.
postgres_database() {
    postgres_sql postgres "ALTER DATABASE spare RENAME TO $1" 2>/dev/null || postgres_sql postgres "CREATE DATABASE $1 OWNER plantca"
}
