/* What the signer said and what is asked of it now and then: trust, attributes, our certificate, health. */
#ifndef NET_KNOWN_H
#define NET_KNOWN_H

#include "provision/station/net/service.h"

/* `ready` is called once: there is a certificate, and, unless it was given, the trust too. */
int net_known_new(struct net_service *service, void (*ready)(struct net_service *), struct net_known **ret);
void net_known_free(struct net_known *known);
PC_DEFINE_CLEANUP(struct net_known, net_known_free);
void net_known_ask(struct net_known *known); /* the signer is there (again): everything is asked now */

/* Bodies of cacerts and csrattrs as est_body_encode gives them; NULL until the signer told. Borrowed until
 * the loop goes on. */
const struct pc_bytes *net_known_trust(const struct net_known *known, bool wrapped);
const struct pc_bytes *net_known_attributes(const struct net_known *known, bool wrapped);
const struct wire_health *net_known_health(const struct net_known *known); /* NULL: not told lately */

#endif
