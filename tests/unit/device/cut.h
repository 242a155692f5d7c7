/* Power cuts for tests: a child runs an operation and ends, without a word, just before its N-th call that
 * changes a file. Programs that use it are linked with the --wrap options of cut_args in meson.build. */
#ifndef TEST_CUT_H
#define TEST_CUT_H

#include <stdbool.h>

/* One more place at which a cut may happen; for wraps of a test's own. */
void cut_point(void);

/* While true, fchown() fails with EPERM. */
extern bool cut_fail_fchown;

/* Runs `operation` in a child that is cut before its `at`-th point (1…). `*ret_ended`: it came to its end
 * before that. Gives what the operation gave then, and 0 after a cut. */
int cut_run(int (*operation)(void *argument), void *argument, unsigned at, bool *ret_ended);

#endif
