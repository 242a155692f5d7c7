/* EST (RFC 7030) as the network service speaks it: paths, methods, forms; what is asked goes to the signer.
 */
#ifndef NET_EST_H
#define NET_EST_H

#include "provision/station/net/service.h"

/* evhttp's callback for every request; `arg` is the struct net_service. */
void net_est_serve(struct evhttp_request *request, void *arg);

#endif
