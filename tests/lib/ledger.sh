# shellcheck shell=bash
# Looking into this test's ledger, editing it and going back to an older copy of it, in SQLite and in PostgreSQL alike. Sourced by
# setup.sh. What stands beside the ledger in the state folder goes along.

# ledger_sql SQL: runs it by the ledger's rules; rows are printed with | between their columns. The words are SQLite's: x'00',
# group_concat, json_extract, hex.
ledger_sql() {
    if in_postgres; then
        postgres_sql plantca "SET search_path = plantcert, public; $(sed "s/\(^\|[^'[:alnum:]_]\)x'/\1'\\\\x/g; s/\brandomblob(32)/sha256(random()::text::bytea)/g" <<<"$1")"
    else
        sqlite3 "$WORK/state/ledger.db" "$1"
    fi
}

# ledger_forge SQL: the same as whoever owns the database can do it, with no rule in the way.
ledger_forge() {
    if in_postgres; then
        ledger_sql "SET session_replication_role = replica; $1"
    else
        /usr/bin/python3 - "$1" <<'PY'
import os, sqlite3, sys
db = sqlite3.connect(os.environ["WORK"] + "/state/ledger.db")
rules = db.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'").fetchall()
db.executescript("".join("DROP TRIGGER %s;" % name for name, _ in rules) + sys.argv[1] + ";" + "".join(sql + ";" for _, sql in rules))
PY
    fi
}

# ledger_keep NAME: a copy of the state folder, and of the ledger as it is now.
ledger_keep() {
    cp -a "$WORK/state" "$WORK/$1"
    if in_postgres; then postgres_sql postgres "CREATE DATABASE \"$1\" TEMPLATE plantca OWNER plantca"; fi
}

# ledger_back NAME: that copy takes the place of what is there, and is used up.
ledger_back() {
    rm -rf "$WORK/state" && mv "$WORK/$1" "$WORK/state"
    if in_postgres; then
        # Dropped, it would make the server write everything out.
        postgres_sql postgres "ALTER DATABASE plantca RENAME TO \"gone $(date +%N)\"" && postgres_sql postgres "ALTER DATABASE \"$1\" RENAME TO plantca"
    fi
}
