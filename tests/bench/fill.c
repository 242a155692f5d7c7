/* fill LEDGER N: puts N issued certificates on record, fast, so that others can be measured beside them. The
 * rows look as plantca's do (random serial numbers, keys and plants; bodies; an audit chain that holds) but
 * no token signed them. Past the ledger's rules, which are taken away for the while: never on a real ledger.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>
#include <sqlite3.h>

#include "src/base/memory.h"

#define BODY 700 /* octets of a P-256 device certificate under a P-256 CA */

static sqlite3 *db;

static void die(const char *what)
{
    fprintf(stderr, "fill: %s: %s\n", what, sqlite3_errmsg(db));
    exit(1);
}

static void run(const char *sql)
{
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
        die(sql);
}

static sqlite3_stmt *prepare(const char *sql)
{
    sqlite3_stmt *s = NULL;
    if (sqlite3_prepare_v2(db, sql, -1, &s, NULL) != SQLITE_OK)
        die(sql);
    return s;
}

static void step(sqlite3_stmt *s)
{
    if (sqlite3_step(s) != SQLITE_DONE)
        die(sqlite3_sql(s));
    sqlite3_reset(s);
}

/* The rules and the indexes, as statements that make them again. */
static char *take_away(void)
{
    sqlite3_str *make = sqlite3_str_new(db), *drop = sqlite3_str_new(db);
    sqlite3_stmt *s = prepare("SELECT sql, 'DROP ' || type || ' ' || name FROM sqlite_schema"
                              " WHERE type = 'trigger' OR (type = 'index' AND sql IS NOT NULL)");
    while (sqlite3_step(s) == SQLITE_ROW) {
        sqlite3_str_appendf(make, "%s;", sqlite3_column_text(s, 0));
        sqlite3_str_appendf(drop, "%s;", sqlite3_column_text(s, 1));
    }
    sqlite3_finalize(s);
    char *text = sqlite3_str_finish(drop);
    run(text);
    sqlite3_free(text);
    return sqlite3_str_finish(make);
}

/* The keys, certificates and bodies, by SQLite alone. */
static void add_rows(int64_t first, int64_t count)
{
    static const char *const texts[] = {
        "INSERT INTO key (id, sha256, subject) SELECT i, randomblob(32), hex(substr(r, 1, 4)) || '-' ||"
        " hex(substr(r, 5, 2)) || '-4' || substr(hex(substr(r, 7, 2)), 2) || '-a' || substr(hex(substr(r, 9, "
        "2)), 2)"
        " || '-' || hex(substr(r, 11, 6)) FROM (WITH RECURSIVE n(i) AS (SELECT %lld UNION ALL SELECT i + 1 "
        "FROM n"
        " WHERE i < %lld) SELECT i, randomblob(16) AS r FROM n)",
        "INSERT INTO certificate (id, issuer, serial, profile, subject, key, state, not_before, not_after,"
        " reserved_at, issued_at, sha256) SELECT id, (SELECT id FROM issuer ORDER BY id LIMIT 1),"
        " CAST(x'40' || randomblob(19) AS BLOB), 'device', lower(subject), id, 'current', unixepoch() - 300,"
        " unixepoch() + 63072000 - (%lld - id) / 100, unixepoch(), unixepoch(), randomblob(32) FROM key "
        "WHERE id >= %lld",
        "INSERT INTO body (certificate, der) SELECT id, randomblob(%lld) FROM certificate WHERE id >= %lld",
    };
    const int64_t values[][2] = {{first, first + count - 1}, {first + count, first}, {BODY, first}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        char *text = sqlite3_mprintf(texts[i], values[i][0], values[i][1]);
        run(text);
        sqlite3_free(text);
    }
    run("UPDATE key SET subject = lower(subject)");
}

/* Two audit rows a certificate. */
static void add_audit(int64_t first, int64_t count)
{
    char chain[33] = "", head[65] = "", line[1024];
    unsigned char digest[32] = {0};
    sqlite3_stmt *s = prepare("SELECT l.chain, coalesce(max(seq), 0), sha256 FROM ledger l LEFT JOIN audit");
    if (sqlite3_step(s) != SQLITE_ROW)
        die("chain");
    snprintf(chain, sizeof chain, "%s", sqlite3_column_text(s, 0));
    int64_t seq = sqlite3_column_int64(s, 1);
    if (sqlite3_column_bytes(s, 2) == sizeof digest)
        memcpy(digest, sqlite3_column_blob(s, 2), sizeof digest);
    sqlite3_finalize(s);
    s = prepare("INSERT INTO audit (chain, seq, certificate, line, sha256) VALUES (?, ?, ?, ?, ?)");
    sqlite3_bind_text(s, 1, chain, -1, SQLITE_STATIC);
    for (int64_t i = 0; i < 2 * count; i++) {
        pc_hex(digest, sizeof digest, head);
        int len = snprintf(line, sizeof line,
                           "{\"act\":\"%s\",\"chain\":\"%s\",\"note\":\"%0400d\",\"outcome\":\"done\","
                           "\"previous\":\"%s\",\"row\":%" PRId64 ",\"schema\":1,\"seq\":%" PRId64 "}",
                           i % 2 ? "issue" : "reserve", chain, 0, head, first + i / 2, ++seq);
        if (!EVP_Digest(line, (size_t)len, digest, NULL, EVP_sha256(), NULL))
            exit(1);
        sqlite3_bind_int64(s, 2, seq);
        sqlite3_bind_int64(s, 3, first + i / 2);
        sqlite3_bind_text(s, 4, line, len, SQLITE_STATIC);
        sqlite3_bind_blob(s, 5, digest, sizeof digest, SQLITE_STATIC);
        step(s);
    }
    sqlite3_finalize(s);
}

int main(int argc, char **argv)
{
    if (argc != 3 || sqlite3_open_v2(argv[1], &db, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK) {
        fprintf(stderr, "usage: fill LEDGER N (an existing ledger)\n");
        return 2;
    }
    int64_t count = strtoll(argv[2], NULL, 10);
    run("PRAGMA synchronous = OFF; PRAGMA cache_size = -400000; BEGIN IMMEDIATE");
    char *rules = take_away();
    sqlite3_stmt *s = prepare("SELECT max(coalesce((SELECT max(id) FROM key), 0),"
                              " coalesce((SELECT max(id) FROM certificate), 0))");
    int64_t first = sqlite3_step(s) == SQLITE_ROW ? sqlite3_column_int64(s, 0) + 1 : 1;
    sqlite3_finalize(s);
    if (count > 0) {
        add_rows(first, count);
        add_audit(first, count);
    }
    run(rules);
    sqlite3_free(rules);
    run("COMMIT; PRAGMA wal_checkpoint(TRUNCATE)");
    return sqlite3_close(db) == SQLITE_OK ? 0 : 1;
}
