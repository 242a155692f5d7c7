/* The one form of an audit line, written and read. Within src/ca only.
 *
 * A line is one JSON object (RFC 8259) in canonical form: members sorted by name, no white space, no member
 * without a value, ASCII only (all else as \uXXXX), numbers as plain integers. Its SHA-256 is the row's hash.
 * "previous" is the hash of the row before it in the same "chain" (64 zeros in the first), "seq" its place,
 * from 1; "schema" is 2. Members that a row may have stand in line.c's table. Lines of schema 1 have no
 * "row". */
#ifndef CA_AUDIT_LINE_H
#define CA_AUDIT_LINE_H

#include "src/ca/audit/audit.h"

#define AUDIT_LINE_SCHEMA 2
#define AUDIT_USER_MAX 120 /* bytes of a user's name that are written */

/* The line that follows `head`. Owned by the caller. */
int audit_line_write(const struct audit_writer *writer, const struct ledger_audit *head,
                     const struct audit_act *act, char **ret);

/* What verification needs of a line; texts are "" where the line says nothing. A user who is longer than the
 * field is cut. */
struct audit_line {
    int schema;
    int64_t seq, row; /* row: the ledger's, or 0 */
    uint64_t crl_number;
    int64_t until, since, at; /* 0: not said */
    int64_t time;
    int64_t admission; /* 0: the line is about none */
    char chain[33], previous[PKI_FINGERPRINT_TEXT];
    char act[24], outcome[16], profile[16], reason[32], serial[PKI_SERIAL_TEXT];
    char address[64], proof[8], rule[64];
    char subject[256], user[256];
    char key_sha256[PKI_FINGERPRINT_TEXT], tbs_sha256[PKI_FINGERPRINT_TEXT],
        certificate_sha256[PKI_FINGERPRINT_TEXT], crl_sha256[PKI_FINGERPRINT_TEXT],
        checkpoint_sha256[PKI_FINGERPRINT_TEXT], file_sha256[PKI_FINGERPRINT_TEXT];
};
/* PC_EREFUSED "audit-line": not a line of ours. */
int audit_line_read(const char *text, struct audit_line *ret);

#endif
