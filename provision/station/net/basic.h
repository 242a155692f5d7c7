/* HTTP Basic (RFC 7617): a plant's UUID and its one-time code. */
#ifndef NET_BASIC_H
#define NET_BASIC_H

#include "src/base/memory.h"
#include "src/pki/name.h"

/* The value of an Authorization header. PC_EREFUSED "basic-form" when it is no Basic with a colon;
 * "basic-user" when the user is no plant's UUID, or the code is empty or longer than PC_SECRET_MAX. */
int net_basic_parse(const char *value, char ret_user[PKI_UUID_TEXT], struct pc_secret **ret_code);

#endif
