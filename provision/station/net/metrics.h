/* Prometheus' text format at a listener of its own, on loopback: own counters, and what the signer told last.
 * Nothing is asked for it. */
#ifndef NET_METRICS_H
#define NET_METRICS_H

#include "provision/station/net/service.h"

int net_metrics_new(struct net_service *service, struct net_metrics **ret);
void net_metrics_free(struct net_metrics *metrics);
PC_DEFINE_CLEANUP(struct net_metrics, net_metrics_free);

#endif
