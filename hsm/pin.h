/* The PIN at the terminal. From files and descriptors: src/base/secret.h. */
#ifndef HSM_PIN_H
#define HSM_PIN_H

#include "src/base/memory.h"

/* Asks on /dev/tty without echo; PC_EAUTH when there is no terminal. `label` names the token in the prompt.
 */
int hsm_pin_from_terminal(const char *label, struct pc_secret **ret);

#endif
