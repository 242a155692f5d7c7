/* Which rows an order to revoke, hold or release means. */
#ifndef CA_SELECTION_H
#define CA_SELECTION_H

#include "src/ca/internal.h"
#include "src/ca/revoke.h"

/* PC_EUSAGE unless exactly one thing is named, and named well. */
int selection_check(const struct ca_selector *selector);
/* Inside a transaction: the rows meant. A plant: all of its device certificates, those of a foreign issuer
 * too. A serial or a certificate: that row, and every other row of its key that is valid or held, since
 * whoever has the key has them all. Empty when nothing on record is meant. A certificate that only shares its
 * serial with the row found: *ret_twin. */
int selection_rows(struct ca *ca, const struct ca_selector *selector, struct ledger_rows *ret,
                   bool *ret_twin);
/* Adds the other valid or held rows of the first row's key. Inside a transaction. */
int selection_siblings(struct ca *ca, struct ledger_rows *rows);
/* PC_EREFUSED "revoke-unknown". */
int selection_unknown(const struct ca_selector *selector);
/* PC_EREFUSED "revoke-foreign": what to do about a certificate that another CA issued. */
int selection_foreign(const struct ledger_certificate *row);

/* incident.c: a certificate under our key that is not on record. Inside a transaction: verifies its signature
 * under our key, records it as revoked, and gives its row. PC_EREFUSED "revoke-unknown" when our key did not
 * sign it. */
int incident_record(struct ca *ca, const struct ca_selector *selector, int reason, int64_t *ret_row);
/* Its serial is that of another certificate on record: a CRL cannot tell them apart. Recorded in the audit
 * log only; 0 when the row is revoked, so that the CRL stops both, else PC_EREFUSED "revoke-twin". Inside a
 * transaction that is to be committed in either case. */
int incident_twin(struct ca *ca, const struct ca_selector *selector, const struct ledger_certificate *row);

#endif
