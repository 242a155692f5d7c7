/* CRLs on record, what they must list, and the publications that showed them to brokers. */
#include "src/ca/postgres/postgres.h"

#include <string.h>

#include "src/base/error.h"
#include "src/pki/key.h"

int pg_crl_last(struct ledger *ledger, int64_t issuer, bool issued_only, struct ledger_crl *ret)
{
    PGresult *found PC_CLEANUP(pg_done) = NULL;
    int r =
        pg_query((struct pg *)ledger, "looking for a CRL", &found,
                 "SELECT number, der IS NOT NULL, this_update, next_update, entries, sha256,"
                 " EXISTS (SELECT 1 FROM pardon WHERE pardon.issuer = $1 AND pardon.number >= crl.number)"
                 " FROM crl WHERE issuer = $1 AND (der IS NOT NULL OR $2 = 0) ORDER BY number DESC LIMIT 1",
                 "ii", issuer, (int64_t)issued_only);
    if (r < 0)
        return r;
    *ret = (struct ledger_crl){0};
    if (PQntuples(found) > 0) {
        *ret = (struct ledger_crl){
            .number = (uint64_t)pg_number(found, 0, 0),
            .issued = pg_flag(found, 0, 1),
            .this_update = pg_number(found, 0, 2),
            .next_update = pg_number(found, 0, 3),
            .entries = (size_t)pg_number(found, 0, 4),
            .pardoned = pg_flag(found, 0, 6),
        };
        pg_hex(found, 0, 5, ret->sha256, sizeof ret->sha256);
    }
    return 0;
}

/* The issuer's row stands for its numbers: one at a time gives out the next. */
static int lock_numbers(struct pg *pg, int64_t issuer)
{
    return pg_run(pg, "waiting for a CRL number", "SELECT 1 FROM issuer WHERE id = $1 FOR UPDATE", "i",
                  issuer);
}

int pg_crl_reserve(struct ledger *ledger, int64_t issuer, const struct ledger_crl *crl,
                   const struct pc_bytes *tbs)
{
    struct pg *pg = (struct pg *)ledger;
    int r = pg_writing(pg);
    if (r == 0)
        r = lock_numbers(pg, issuer);
    return r < 0 ? r
                 : pg_change(pg, "recording a CRL",
                             "INSERT INTO crl (issuer, number, this_update, next_update, entries, tbs)"
                             " VALUES ($1, $2, $3, $4, $5, $6)",
                             "iiiiib", issuer, (int64_t)crl->number, crl->this_update, crl->next_update,
                             (int64_t)crl->entries, tbs);
}

int pg_crl_issue(struct ledger *ledger, int64_t issuer, uint64_t number, const struct pc_bytes *der)
{
    char sha256[PKI_FINGERPRINT_TEXT];
    int r = pki_digest_hex(der->data, der->len, sha256);
    return r < 0 ? r
                 : pg_change((struct pg *)ledger, "recording a CRL",
                             "UPDATE crl SET tbs = NULL, der = $1, sha256 = $2"
                             " WHERE issuer = $3 AND number = $4 AND der IS NULL",
                             "bhii", der, sha256, issuer, (int64_t)number);
}

int pg_crl_adopt(struct ledger *ledger, int64_t issuer, const struct ledger_crl *crl,
                 const struct pc_bytes *der)
{
    struct pg *pg = (struct pg *)ledger;
    char sha256[PKI_FINGERPRINT_TEXT];
    int r = pg_writing(pg);
    if (r == 0)
        r = pki_digest_hex(der->data, der->len, sha256);
    if (r == 0)
        r = lock_numbers(pg, issuer);
    return r < 0 ? r
                 : pg_change(pg, "adopting a CRL",
                             "INSERT INTO crl (issuer, number, this_update, next_update, entries, adopted,"
                             " der, sha256) VALUES ($1, $2, $3, $4, $5, true, $6, $7)",
                             "iiiiibh", issuer, (int64_t)crl->number, crl->this_update, crl->next_update,
                             (int64_t)crl->entries, der, sha256);
}

int pg_crl_pardon(struct ledger *ledger, int64_t issuer, uint64_t number, int64_t at)
{
    return pg_change((struct pg *)ledger, "pardoning a CRL",
                     "INSERT INTO pardon (issuer, number, at) VALUES ($1, $2, $3)", "iii", issuer,
                     (int64_t)number, at);
}

int pg_crl_body(struct ledger *ledger, int64_t issuer, uint64_t number, struct pc_bytes *ret_der)
{
    struct pg *pg = (struct pg *)ledger;
    PGresult *found PC_CLEANUP(pg_done) = NULL;
    int r = pg_query(pg, "reading a CRL", &found, "SELECT der FROM crl WHERE issuer = $1 AND number = $2",
                     "ii", issuer, (int64_t)number);
    if (r < 0)
        return r;
    if (PQntuples(found) == 0 || PQgetlength(found, 0, 0) == 0)
        return pc_fail(PC_EFAIL, "ledger %s: CRL %llu is not on record", pg->name,
                       (unsigned long long)number);
    return pg_blob(found, 0, 0, ret_der);
}

/* Every row of a result of serial, revoked_at, reason, invalid_since. */
static int tell_entries(const PGresult *s, ledger_entry_row *entry, void *context)
{
    for (int i = 0; i < PQntuples(s); i++) {
        struct ledger_entry found = {.revoked_at = pg_number(s, i, 1),
                                     .reason = (int)pg_number(s, i, 2),
                                     .invalid_since = pg_number(s, i, 3)};
        pg_hex(s, i, 0, found.serial, sizeof found.serial);
        int r = entry(context, &found);
        if (r != 0)
            return r;
    }
    return 0;
}

int pg_crl_entries(struct ledger *ledger, int64_t issuer, const struct ledger_crl *last,
                   ledger_entry_row *entry, void *context)
{
    PGresult *found PC_CLEANUP(pg_done) = NULL;
    /* An orphan's expiry is not known: it stays. Where its certificate has turned up since, that speaks. */
    int r = pg_query(
        (struct pg *)ledger, "reading revocations", &found,
        "SELECT serial, revoked_at, reason, invalid_since FROM certificate"
        " WHERE issuer = $1 AND listed_from IS NOT NULL AND (not_after >= $2 OR listed_from > $3)"
        " UNION ALL SELECT serial, revoked_at, reason, invalid_since FROM orphan WHERE issuer = $1"
        " AND NOT EXISTS (SELECT 1 FROM certificate c WHERE c.issuer = $1 AND c.serial = orphan.serial)",
        "iii", issuer, last->number ? last->this_update : INT64_MIN, (int64_t)last->number);
    return r < 0 ? r : tell_entries(found, entry, context);
}

int pg_crl_behind(struct ledger *ledger, int64_t issuer, const struct ledger_crl *last, int64_t now,
                  bool *ret)
{
    PGresult *found PC_CLEANUP(pg_done) = NULL;
    int r = pg_query((struct pg *)ledger, "judging a CRL", &found,
                     "SELECT EXISTS (SELECT 1 FROM certificate WHERE issuer = $1 AND listed_from > $2)"
                     " OR EXISTS (SELECT 1 FROM certificate WHERE issuer = $1 AND unlisted_from > $2)"
                     " OR EXISTS (SELECT 1 FROM certificate WHERE state = 'superseded' AND revoke_after <= $3"
                     "   AND issuer = $1 AND profile NOT IN ('probe', 'station'))",
                     "iii", issuer, (int64_t)last->number, now);
    if (r == 0)
        *ret = pg_flag(found, 0, 0);
    return r;
}

int pg_crl_short(struct ledger *ledger, int64_t issuer, const struct ledger_crl *last, bool *ret)
{
    PGresult *found PC_CLEANUP(pg_done) = NULL;
    /* What `last` listed depends on the one before it; what was revoked since can only add to that. */
    int r = pg_query(
        (struct pg *)ledger, "judging a CRL", &found,
        "SELECT $3 >"
        " (SELECT count(*) FROM certificate WHERE issuer = $1 AND listed_from IS NOT NULL"
        "   AND (not_after >= past.at OR listed_from > past.number))"
        " + (SELECT count(*) FROM certificate WHERE issuer = $1 AND unlisted_from > $2"
        "   AND listed_from IS NULL)"
        " + (SELECT count(*) FROM orphan WHERE issuer = $1 AND NOT EXISTS"
        "   (SELECT 1 FROM certificate c WHERE c.issuer = $1 AND c.serial = orphan.serial))"
        " FROM (SELECT coalesce(max(number), 0) AS number, coalesce(max(this_update), $4) AS at FROM"
        "   (SELECT number, this_update FROM crl WHERE issuer = $1 AND number < $2 AND der IS NOT NULL"
        "     ORDER BY number DESC LIMIT 1) AS newest) AS past",
        "iiii", issuer, (int64_t)last->number, (int64_t)last->entries, INT64_MIN);
    if (r == 0)
        *ret = pg_flag(found, 0, 0);
    return r;
}

int pg_orphan_add(struct ledger *ledger, int64_t issuer, const struct ledger_entry *entry)
{
    return pg_change((struct pg *)ledger, "recording a revocation",
                     "INSERT INTO orphan (issuer, serial, revoked_at, invalid_since, reason)"
                     " VALUES ($1, $2, $3, $4, $5)",
                     "ihioi", issuer, entry->serial, entry->revoked_at, entry->invalid_since,
                     (int64_t)entry->reason);
}

int pg_orphan_each(struct ledger *ledger, int64_t issuer, ledger_entry_row *row, void *context)
{
    PGresult *found PC_CLEANUP(pg_done) = NULL;
    int r =
        pg_query((struct pg *)ledger, "reading revocations", &found,
                 "SELECT serial, revoked_at, reason, invalid_since FROM orphan WHERE issuer = $1 ORDER BY id",
                 "i", issuer);
    return r < 0 ? r : tell_entries(found, row, context);
}

#define PUBLICATION_COLUMNS "id, at, crl_number, dir, crl_sha256, ca_sha256"

static void read_publication(const PGresult *s, int i, struct ledger_publication *ret)
{
    *ret = (struct ledger_publication){
        .id = pg_number(s, i, 0), .at = pg_number(s, i, 1), .crl_number = (uint64_t)pg_number(s, i, 2)};
    pg_text(s, i, 3, ret->dir, sizeof ret->dir);
    pg_hex(s, i, 4, ret->crl_sha256, sizeof ret->crl_sha256);
    pg_hex(s, i, 5, ret->ca_sha256, sizeof ret->ca_sha256);
}

int pg_publication_add(struct ledger *ledger, const struct ledger_publication *publication)
{
    return pg_change((struct pg *)ledger, "recording a publication",
                     "INSERT INTO publication (at, dir, crl_number, crl_sha256, ca_sha256)"
                     " VALUES ($1, $2, $3, $4, $5)",
                     "itihh", publication->at, publication->dir, (int64_t)publication->crl_number,
                     publication->crl_sha256, publication->ca_sha256);
}

int pg_publication_last(struct ledger *ledger, const char *dir, struct ledger_publication *ret)
{
    PGresult *found PC_CLEANUP(pg_done) = NULL;
    int r = pg_query((struct pg *)ledger, "looking for a publication", &found,
                     "SELECT " PUBLICATION_COLUMNS " FROM publication"
                     " WHERE dir = $1 OR $1 IS NULL ORDER BY id DESC LIMIT 1",
                     "t", dir);
    if (r < 0)
        return r;
    *ret = (struct ledger_publication){0};
    if (PQntuples(found) > 0)
        read_publication(found, 0, ret);
    return 0;
}

int pg_publication_each(struct ledger *ledger, ledger_publication_row *row, void *context)
{
    PGresult *found PC_CLEANUP(pg_done) = NULL;
    int r = pg_query((struct pg *)ledger, "reading publications", &found,
                     "SELECT " PUBLICATION_COLUMNS " FROM publication ORDER BY id", "");
    for (int i = 0; r == 0 && i < PQntuples(found); i++) {
        struct ledger_publication publication;
        read_publication(found, i, &publication);
        r = row(context, &publication);
    }
    return r;
}
