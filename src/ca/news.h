/* What has happened since it was last asked: for who watches. */
#ifndef CA_NEWS_H
#define CA_NEWS_H

#include "src/ca/admission.h"

/* One audit row, as far as people at the station want to know. Text is as it is on record: escape it. */
struct ca_event {
    int64_t time;
    char act[24], rule[64]; /* rule "": it was done, else the name of the refusal */
    char plant[256], key_sha256[PKI_FINGERPRINT_TEXT], serial[PKI_SERIAL_TEXT], address[64];
    char user[64]; /* who did it */
};

struct ca_news; /* how far each chain was read */

/* `back`: so many rows of each chain are told at first. Owned by the caller. */
int ca_news_new(int64_t back, struct ca_news **ret);
void ca_news_free(struct ca_news *news);
PC_DEFINE_CLEANUP(struct ca_news, ca_news_free);
/* Rows since the last call, chain by chain. Each chain's head is looked at, and nothing more where it has not
 * moved. */
int ca_news_each(struct ca *ca, struct ca_news *news,
                 void (*event)(void *context, const struct ca_event *event), void *context);

#endif
