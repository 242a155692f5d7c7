#!/usr/bin/env bash
# [ledger] url = postgresql://…: which servers and roles are no place for a ledger, and what is told when the database is away,
# a standby, or an older copy of itself.
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh"
# shellcheck source=tests/cli/setup.sh
. "${PC_SOURCE:?}/tests/cli/setup.sh"
export PC_LEDGER=postgres
cd "$WORK" || exit 1
ca_prepare
sql() { postgres_sql plantca "SET search_path = plantcert; $1"; }
server() { # SETTING…: the server with these settings, until the next call
    postgres_stop fast
    : >"$POSTGRES_DIR/data/postgresql.auto.conf"
    [ $# = 0 ] || printf '%s\n' "$@" >>"$POSTGRES_DIR/data/postgresql.auto.conf"
    postgres_run
}

for url in 'postgresql://u:secret@h/d' 'postgresql://h/d?password=secret' 'postgresql://u:%73ecret@h/d'; do
    sed "s|^url .*|url = $url|" plantca.conf >secret.conf
    expect 2 "a password in the address: $url" "$PLANTCA" status -c secret.conf
    said 'a password in the ledger' "is told of"
    same "$(cat out err | grep -c secret@)$(cat out err | grep -c =secret)" 00 "and not repeated"
done
printf '[somewhere]\nhost=%s\nuser=plantca\ndbname=plantca\n' "$POSTGRES_DIR" >services
sed "s|^url .*|url = postgresql:///?service=somewhere|" plantca.conf >service.conf
server 'fsync = off'
expect 5 "a server with fsync off" "$PLANTCA" init
said 'fsync is off' "is told of"
server 'default_transaction_read_only = on'
expect 4 "a server that takes no writes" "$PLANTCA" init
server 'synchronous_commit = off'
postgres_sql postgres "CREATE ROLE stranger LOGIN"
sed 's|//plantca@|//stranger@|' plantca.conf >stranger.conf
postgres_sql postgres "CREATE DATABASE empty"
sed 's|/plantca$|/empty|' stranger.conf >empty.conf
expect 2 "a role that may make no tables" "$PLANTCA" init -c empty.conf
said 'GRANT CREATE ON DATABASE "empty" TO "stranger"' "is told what that takes"
expect 1 "and made nothing" test -e state/ca.crt
check "synchronous_commit is switched on where it is off" "$PLANTCA" init -q
check "by a service file" env PGSERVICEFILE="$WORK/services" "$PLANTCA" status -c service.conf
server
new_csr $UUID1 plc.key plc.csr
check "a certificate" "$PLANTCA" sign --plant $UUID1 plc.csr -o plc.crt

# Rights: one role makes the tables, another works with them and can neither change the rules nor delete.
postgres_sql plantca "CREATE ROLE worker LOGIN; GRANT USAGE ON SCHEMA plantcert TO worker;
    GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA plantcert TO worker" >/dev/null
sed 's|//plantca@|//worker@|' plantca.conf >worker.conf
new_csr $UUID2 plc2.key plc2.csr
check "a role that may only read and add" "$PLANTCA" sign --plant $UUID2 plc2.csr -o plc2.crt -c worker.conf
worker() { psql -X -q -v ON_ERROR_STOP=1 -h "$POSTGRES_DIR" -U worker -d plantca -c "$1"; }
expect 1 "deletes nothing" worker 'DELETE FROM plantcert.audit'
expect 1 "switches no rule off" worker 'ALTER TABLE plantcert.audit DISABLE TRIGGER ALL'
check "and sees what it needs to verify" "$PLANTCA" audit verify -c worker.conf
expect 2 "a role without rights" "$PLANTCA" status -c stranger.conf --json
json "is told of, and what it lacks" 'd["error"]["name"] == "ledger-denied" and "GRANT USAGE ON SCHEMA plantcert TO \"stranger\"; GRANT SELECT, INSERT, UPDATE ON ALL TABLES" in d["error"]["message"]'
postgres_sql plantca "GRANT USAGE ON SCHEMA plantcert TO stranger; GRANT SELECT ON ALL TABLES IN SCHEMA plantcert TO stranger"
check "a role that may read reads" "$PLANTCA" audit verify -c stranger.conf
expect 2 "and makes no CRL" "$PLANTCA" crl -c stranger.conf
said 'denied for table .*GRANT SELECT, INSERT, UPDATE' "for want of a right that is named"

# An older copy.
# A dump, as backups are made, in a database of its own: the server words what it reads back in another way.
pg_dump -h "$POSTGRES_DIR" -U postgres -d plantca -n plantcert >dump.sql && postgres_sql postgres "CREATE DATABASE restored OWNER plantca" &&
    psql -X -q -v ON_ERROR_STOP=1 -h "$POSTGRES_DIR" -U postgres -d restored -f dump.sql >/dev/null
sed 's|^\(url .*\)/plantca$|\1/restored|' plantca.conf >restored.conf
check "a restored dump" "$PLANTCA" audit verify -c restored.conf
postgres_sql restored "ALTER TABLE plantcert.admission DROP CONSTRAINT admission_revoke_old_check,
    ADD CONSTRAINT admission_revoke_old_check CHECK (revoke_old >= 0 AND revoke_old <= 10)"
expect 5 "one whose rules say less" "$PLANTCA" audit verify -c restored.conf
said 'admission_revoke_old_check is not as we make it' "is told"

postgres_sql postgres "CREATE DATABASE kept TEMPLATE plantca OWNER plantca"
check "a revocation" "$PLANTCA" revoke --plant $UUID1 --reason keyCompromise
postgres_sql postgres "ALTER DATABASE plantca RENAME TO newer" && postgres_sql postgres "ALTER DATABASE kept RENAME TO plantca"
new_csr "${UUID1%1}3" plc3.key plc3.csr
expect 5 "an older copy of the database signs nothing" "$PLANTCA" sign --plant "${UUID1%1}3" plc3.csr -o plc3.crt --json
json "by name" 'd["error"]["name"] == "restore-crl"'
postgres_sql postgres "ALTER DATABASE plantca RENAME TO kept" && postgres_sql postgres "ALTER DATABASE newer RENAME TO plantca"
check "the newest goes on" "$PLANTCA" crl

# Rules that were changed, a chain that was.
sql "ALTER TABLE audit DISABLE TRIGGER audit_fixed; UPDATE audit SET line = replace(line, 'keyCompromise', 'superseded')"
expect 5 "an edited chain, and a rule that is off" "$PLANTCA" audit verify
said 'audit_fixed is not as we make it' "the rule is told of"
said 'it was edited' "the row, too"
postgres_stop fast
expect 4 "a database that is away" "$PLANTCA" status

# By TCP: who the server is, and who we are. Trying again does not help where that does not fit: exit 2.
tls() { openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -keyout "$1.key" -out "$1.crt" "${@:2}" 2>/dev/null; }
tls right -subj '/CN=Database CA'
tls wrong -subj '/CN=Database CA'
tls server -subj /CN=db -addext subjectAltName=DNS:localhost -CA right.crt -CAkey right.key
mv server.crt server.key "$POSTGRES_DIR/data/"
chown --reference="$POSTGRES_DIR/data" "$POSTGRES_DIR"/data/server.*
chmod 600 "$POSTGRES_DIR/data/server.key"
sed -i "1i host all guarded 127.0.0.1/32 scram-sha-256\nhost all unwanted 127.0.0.1/32 reject" "$POSTGRES_DIR/data/pg_hba.conf"
PGPORT=$(free_port)
export PGPORT
network() { postgres_run -c listen_addresses=127.0.0.1 -c port="$PGPORT" "$@"; }
away() { # NAME WHAT ROLE@HOST/DATABASE?OPTIONS: exit 2 by this name
    sed "s|^url .*|url = postgresql://$3|" plantca.conf >tls.conf
    expect 2 "$2" "$PLANTCA" status -c tls.conf --json
    json "is told by name: $1" "d['error']['name'] == '$1'"
}
network
away ledger-tls "a server without TLS" "plantca@localhost/plantca?sslmode=verify-full\&sslrootcert=$WORK/right.crt"
postgres_stop
network -c ssl=on
there="plantca@localhost/plantca?sslmode=verify-full\&sslrootcert=$WORK"
sed "s|^url .*|url = postgresql://$there/right.crt|" plantca.conf >tls.conf
check "a server whose certificate is from the CA that is named" "$PLANTCA" crl -c tls.conf
away ledger-tls "from another CA of that name" "$there/wrong.crt"
away ledger-tls "a CA whose file is not there" "$there/none.crt"
away ledger-tls "a certificate of another name" "plantca@127.0.0.1/plantca?sslmode=verify-full\&sslrootcert=$WORK/right.crt"
away ledger-database "a database that is not there" "plantca@localhost/plants"
away ledger-login "a role that is not there" "nobody@localhost/plantca"
postgres_sql plantca "CREATE ROLE guarded LOGIN PASSWORD 'guarded' IN ROLE worker; CREATE ROLE unwanted LOGIN"
away ledger-login "a role that pg_hba.conf turns away" "unwanted@127.0.0.1/plantca"
# Another host of the address may come back, and be right.
sed "s|^url .*|url = postgresql://unwanted@127.0.0.1:1,127.0.0.1:$PGPORT/plantca|" plantca.conf >tls.conf
expect 4 "a host of two that turns it away, while the other is gone" "$PLANTCA" status -c tls.conf --json
json "is told by the same name" "d['error']['name'] == 'ledger-login'"
export PGPASSFILE=$WORK/passwords
away ledger-password "no password" "guarded@127.0.0.1/plantca"
install -m 600 /dev/null passwords
echo '*:*:*:guarded:guess' >passwords
away ledger-login "another password" "guarded@127.0.0.1/plantca"
same "$(cat out err | grep -c guess)" 0 "which is not repeated"
echo '*:*:*:guarded:guarded' >passwords
check "the password" "$PLANTCA" status -c tls.conf
postgres_stop
expect 4 "a server that is gone" "$PLANTCA" status -c tls.conf
finish
