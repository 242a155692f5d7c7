/* The one connection to the signer: questions out, answers in, in any order; opened again, at growing
 * intervals, when it is gone. */
#ifndef NET_LINK_H
#define NET_LINK_H

#include "provision/station/net/service.h"

/* The signer's answer; NULL: none came in time, or the signer is gone (`why` says which). Borrowed. */
typedef void (*net_answer_to)(const struct wire_answer *answer, enum net_turned why, void *arg);

/* Opens it; `up` is called each time that it stands, never from within net_link_new. */
int net_link_new(struct net_service *service, void (*up)(void *arg), void *arg, struct net_link **ret);
void net_link_free(struct net_link *link); /* who still waits is told that no answer comes */
PC_DEFINE_CLEANUP(struct net_link, net_link_free);

/* Numbers and sends the question, which stays the caller's. `to` is called once, later. PC_EUNREACH with
 * *ret_why when it cannot be asked now; PC_EUSAGE when the wire does not take it. */
int net_link_ask(struct net_link *link, struct wire_question *question, net_answer_to to, void *arg,
                 enum net_turned *ret_why);
bool net_link_is_up(const struct net_link *link);
size_t net_link_questions(const struct net_link *link); /* not answered yet */

#endif
