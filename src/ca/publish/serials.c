/* Sets of serial numbers: sorted, searched by halves. */
#include <stdlib.h>
#include <string.h>

#include "src/base/error.h"
#include "src/ca/publish/judge.h"

void serial_set_clear(struct serial_set *set)
{
    free(set->serials);
    *set = (struct serial_set){0};
}

static int compare(const void *a, const void *b)
{
    const struct pki_serial *x = a, *y = b;
    if (x->len != y->len)
        return x->len < y->len ? -1 : 1;
    return memcmp(x->octets, y->octets, x->len);
}

static void sort(struct serial_set *set)
{
    if (set->count > 1)
        qsort(set->serials, set->count, sizeof *set->serials, compare);
}

static int add(struct serial_set *set, size_t *room, const char *hex)
{
    if (set->count == *room) {
        size_t more = *room ? 2 * *room : 64;
        struct pki_serial *grown = reallocarray(set->serials, more, sizeof *grown);
        if (!grown)
            return pc_fail(PC_EFAIL, "out of memory");
        set->serials = grown;
        *room = more;
    }
    int r = pki_serial_parse(hex, &set->serials[set->count]);
    if (r == 0)
        set->count++;
    return r;
}

int serial_set_parse(const char *text, struct serial_set *ret)
{
    struct serial_set PC_CLEANUP(serial_set_clear) set = {0};
    pc_autofree char *copy = strdup(text ? text : "");
    char *rest = NULL;
    size_t room = 0;
    int r = copy ? 0 : pc_fail(PC_EFAIL, "out of memory");
    for (char *word = r == 0 ? strtok_r(copy, " \t\r\n,", &rest) : NULL; r == 0 && word;
         word = strtok_r(NULL, " \t\r\n,", &rest))
        r = add(&set, &room, word);
    if (r < 0)
        return r;
    sort(&set);
    *ret = set;
    set = (struct serial_set){0};
    return 0;
}

struct reader {
    struct serial_set set;
    size_t room;
};

static int read_entry(void *context, const struct ledger_entry *entry)
{
    struct reader *reader = context;
    return add(&reader->set, &reader->room, entry->serial);
}

int serial_set_of_record(struct ca *ca, struct serial_set *ret)
{
    const struct ledger_crl none = {0};
    struct reader reader = {0};
    int r = ca->ledger->ops->crl_entries(ca->ledger, ca->issuer.id, &none, read_entry, &reader);
    if (r < 0) {
        serial_set_clear(&reader.set);
        return r;
    }
    sort(&reader.set);
    *ret = reader.set;
    return 0;
}

bool serial_set_has(const struct serial_set *set, const struct pki_serial *serial)
{
    return set->count > 0 && bsearch(serial, set->serials, set->count, sizeof *set->serials, compare);
}

bool serial_of_entry(const X509_REVOKED *entry, struct pki_serial *ret)
{
    const ASN1_INTEGER *number = X509_REVOKED_get0_serialNumber(entry);
    int len = ASN1_STRING_length(number);
    if (len < 1 || len > PKI_SERIAL_MAX)
        return false;
    *ret = (struct pki_serial){.len = (size_t)len};
    memcpy(ret->octets, ASN1_STRING_get0_data(number), ret->len);
    return true;
}
