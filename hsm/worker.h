/* The threads on which a token's operations run, so that whoever asked can stop waiting for one that does not
 * come back. */
#ifndef HSM_WORKER_H
#define HSM_WORKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/base/memory.h"

struct hsm_workers; /* one set a token; threads are made as they are needed */

/* `timeout`: seconds that an operation may take; 0: for ever. `name` is for messages. */
int hsm_workers_new(const char *name, int64_t timeout, struct hsm_workers **ret);
void hsm_workers_rename(struct hsm_workers *workers, const char *name);
/* Ends the threads. A set that hangs is left as it is. */
void hsm_workers_free(struct hsm_workers *workers);
PC_DEFINE_CLEANUP(struct hsm_workers, hsm_workers_free);

/* Runs `run` on a copy of `arguments` (`size` bytes, at most HSM_ARGUMENTS_MAX), which is copied back at its
 * end; gives what it returned, with its error. Several threads may run something at once; what runs already
 * on one of these threads is run there and then, within the limit of the whole.
 * PC_EUNREACH "token-timeout" when it has not come back in time (`what` says of what in the text: "the
 * login"), and from then on at once whatever is asked. It may come back later all the same: so whatever the
 * arguments point to must then be neither freed nor used any more. */
#define HSM_ARGUMENTS_MAX (20 * 1024)
int hsm_run(struct hsm_workers *workers, const char *what, int (*run)(void *arguments), void *arguments,
            size_t size);
/* What runs on one of these threads and has several steps says so between them: the limit is each one's. */
void hsm_step(void);
/* The same without the limit: for what waits for a human, and for making keys. */
int hsm_run_unlimited(struct hsm_workers *workers, const char *what, int (*run)(void *arguments),
                      void *arguments, size_t size);

/* Whether something has not come back. It never changes back: the module is then left alone, and the process
 * ends by _exit (pc_process_abandoned). */
bool hsm_hangs(const struct hsm_workers *workers);

#endif
